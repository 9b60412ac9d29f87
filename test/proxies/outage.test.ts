import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import {
  type ChildService,
  firstOperatorEmail,
  printedPassword,
  type ServiceHome,
  serviceHome,
} from '../support/programs/child-service.ts'
import { type EchoBackend, startEchoBackend } from '../support/programs/echo-backend.ts'
import type { RunningProxy } from '../support/programs/proxy-process.ts'
import { proxyNames, startReverseProxy } from '../support/programs/reverse-proxies.ts'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import { httpClient } from '../support/service/client.ts'
import { type Answer, type Browser, startBrowser } from './browser.ts'

let postgres: PostgresServer
let home: ServiceHome
let service: ChildService
let app: EchoBackend
let proxies: RunningProxy[] = []
let browsers: Browser[] = []
let token: string

/** What the configurations call the app. */
const appName = 'https://www.example.com'

beforeAll(async () => {
  postgres = await startPostgres()
  app = await startEchoBackend()
  home = await serviceHome({
    DATABASE_URL: postgres.appUrl,
    MIGRATE_DATABASE_URL: postgres.ownerUrl,
    REDIS_URL: inject('redisUrl'),
    CARDEA_SECRET: 'a-secret-of-the-outages-of-the-tests',
    TRUSTED_PROXIES: '127.0.0.1/32',
    AUDIENCE: appName,
    LOG_LEVEL: 'warn',
  })
  const { host } = new URL(home.address)
  service = await home.start()
  proxies = await Promise.all(
    proxyNames.map((name) => startReverseProxy(name, { cardea: host, app: app.address })),
  )
  browsers = proxies.map(({ port }) => startBrowser(port))
  const person = { email: firstOperatorEmail, password: printedPassword(service) }
  for (const browser of browsers) await browser.logIn('/login', person)
  const loggedIn = await httpClient(home.address).logIn(person, { audience: appName })
  token = loggedIn.accessToken
})

afterAll(async () => {
  for (const proxy of proxies) await proxy.stop()
  await home?.remove()
  await app?.stop()
  await postgres?.stop()
})

/** What each proxy says to a page, to a program, to one without a session, and to one with a token. */
const answers = async () =>
  await Promise.all(
    proxyNames.map(async (name, place) => {
      const browser = browsers[place]
      const stranger = startBrowser(proxies[place]?.port ?? 0)
      const bearer = { headers: [['Authorization', `Bearer ${token}`]] } as const
      const asked: (Answer | undefined)[] = await Promise.all([
        browser?.open('/reports'),
        browser?.fetch('/staff/plan'),
        stranger.open('/reports'),
        stranger.fetch('/api/data', bearer),
      ])
      return { name, said: asked.map((answer) => [answer?.status, answer?.location] as const) }
    }),
  )

const nobodyPasses = proxyNames.map((name) => ({
  name,
  said: Array.from({ length: 4 }, () => [503, undefined]),
}))

const whenAllWorks = async () =>
  await vi.waitFor(
    async () => {
      for (const browser of browsers) expect((await browser.open('/reports')).status).toBe(200)
      for (const { port } of proxies) {
        expect((await startBrowser(port).open('/reports')).status).toBe(303)
      }
    },
    { interval: 100 },
  )

test('R58: while Cardea is away every proxy says 503, lets nobody pass and sends nobody to log in; then all works again', async () => {
  await whenAllWorks()
  service.signal('SIGTERM')
  await service.ended
  const count = app.count()
  expect(await answers()).toEqual(nobodyPasses)
  for (const [place, name] of proxyNames.entries()) {
    for (const path of ['/reports', '/login']) {
      const answer = await browsers[place]?.open(path)
      expect([name, path, answer?.status]).toEqual([name, path, 503])
      expect(answer?.header('retry-after')).toBe('5')
      expect(answer?.header('cache-control')).toBe('no-store')
      expect(answer?.header('content-type')).toMatch(/^text\/html/)
      expect(answer?.text).toContain('Try again in a few seconds.')
    }
  }
  expect(app.count()).toBe(count)
  service = await home.start()
  await whenAllWorks()
})

test('R58: while Cardea is frozen every proxy gives up by itself and says 503; then all works again', async () => {
  await whenAllWorks()
  const count = app.count()
  service.signal('SIGSTOP')
  try {
    expect(await answers()).toEqual(nobodyPasses)
  } finally {
    service.signal('SIGCONT')
  }
  expect(app.count()).toBe(count)
  await whenAllWorks()
})

test('R58: while Postgres is away nobody is taken for logged out: 503 for all, also for strangers and tokens; then the same session works again', async () => {
  await whenAllWorks()
  const statuses = async () =>
    (await answers()).map(({ said }) => said.map(([status = 0]) => status))
  expect(await statuses()).toEqual(proxyNames.map(() => [200, 403, 303, 200]))
  const ofBrowsers = new Set<number>()
  await postgres.kill()
  try {
    // Until the service has noticed, what it knows to be good stays so, and strangers are sent to log in.
    await vi.waitFor(
      async () => {
        const said = await statuses()
        for (const [page = 0, program = 0] of said) ofBrowsers.add(page).add(program)
        expect(said).toEqual(proxyNames.map(() => [503, 503, 503, 503]))
      },
      { interval: 200 },
    )
    expect([...ofBrowsers].filter((status) => ![200, 403, 503].includes(status))).toEqual([])
    expect(await answers()).toEqual(nobodyPasses)
  } finally {
    await postgres.restart()
  }
  await whenAllWorks()
})

test('R58: a rule that names an audience which Cardea does not know lets nobody pass, and no other rule minds', async () => {
  await whenAllWorks()
  service.signal('SIGTERM')
  await service.ended
  service = await home.start({ AUDIENCE: 'https://other.example.com' })
  await whenAllWorks()
  const count = app.count()
  for (const browser of browsers) {
    const answer = await browser.open('/api/data')
    expect([answer.status, answer.location]).toEqual([503, undefined])
  }
  expect(app.count()).toBe(count)
})
