import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import {
  type ChildService,
  firstOperatorEmail,
  printedPassword,
  type ServiceHome,
  serviceHome,
} from '../support/child-service.ts'
import { type EchoBackend, startEchoBackend } from '../support/echo-backend.ts'
import { fetchTimeoutMs } from '../support/find-proxy.ts'
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts'
import type { RunningProxy } from '../support/proxy-process.ts'
import { proxyNames, startReverseProxy } from '../support/reverse-proxies.ts'
import { type Answer, type Browser, startBrowser } from './browser.ts'

let postgres: PostgresServer
let home: ServiceHome
let service: ChildService
let app: EchoBackend
let proxies: RunningProxy[] = []
let browsers: Browser[] = []

beforeAll(async () => {
  postgres = await startPostgres()
  app = await startEchoBackend()
  home = await serviceHome({
    DATABASE_URL: postgres.appUrl,
    MIGRATE_DATABASE_URL: postgres.ownerUrl,
    REDIS_URL: inject('redisUrl'),
    CARDEA_SECRET: 'a-secret-of-the-outages-of-the-tests',
    TRUSTED_PROXIES: '127.0.0.1/32',
    LOG_LEVEL: 'warn',
  })
  const { host } = new URL(home.address)
  service = await home.start()
  proxies = await Promise.all(
    proxyNames.map((name) => startReverseProxy(name, { cardea: host, app: app.address })),
  )
  browsers = proxies.map(({ port }) => startBrowser(port))
  const person = { email: firstOperatorEmail, password: printedPassword(service) }
  for (const browser of browsers) await browser.signIn('/login', person)
}, fetchTimeoutMs)

afterAll(async () => {
  for (const proxy of proxies) await proxy.stop()
  await home?.remove()
  await app?.stop()
  await postgres?.stop()
})

/** What each proxy says to a page, to a program, to one without a session, and of the login page. */
const answers = async () =>
  await Promise.all(
    proxyNames.map(async (name, place) => {
      const browser = browsers[place]
      const stranger = startBrowser(proxies[place]?.port ?? 0)
      const asked: (Answer | undefined)[] = await Promise.all([
        browser?.open('/reports'),
        browser?.fetch('/staff/plan'),
        stranger.open('/reports'),
      ])
      return { name, said: asked.map((answer) => [answer?.status, answer?.location] as const) }
    }),
  )

const nobodyPasses = proxyNames.map((name) => ({
  name,
  said: [
    [503, undefined],
    [503, undefined],
    [503, undefined],
  ],
}))

const whenAllWorks = async () =>
  await vi.waitFor(
    async () => {
      for (const browser of browsers) expect((await browser.open('/reports')).status).toBe(200)
      for (const { port } of proxies) {
        expect((await startBrowser(port).open('/reports')).status).toBe(303)
      }
    },
    { timeout: 20_000, interval: 100 },
  )

test('R58: a rule that names an audience which Cardea does not know lets nobody pass, and no other rule minds', async () => {
  await whenAllWorks()
  const count = app.count()
  for (const browser of browsers) {
    const answer = await browser.open('/api/data')
    expect([answer.status, answer.location]).toEqual([503, undefined])
  }
  expect(app.count()).toBe(count)
})

test('R58: while Cardea is away every proxy says 503, lets nobody pass and sends nobody to sign in; then all works again', async () => {
  await whenAllWorks()
  service.signal('SIGTERM')
  await service.ended
  const count = app.count()
  expect(await answers()).toEqual(nobodyPasses)
  const [first] = browsers
  expect((await first?.open('/reports'))?.header('retry-after')).toBe('5')
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

test('R58: while Postgres is away nobody is taken for signed out: 503, and then the same session works again', async () => {
  await whenAllWorks()
  const refused: Answer[] = []
  const withSession = async () => {
    const said = await Promise.all(browsers.map((browser) => browser.open('/reports')))
    refused.push(...said.filter(({ status }) => status !== 200 && status !== 503))
    return said.map(({ status }) => status)
  }
  const noneOfThem = proxyNames.map(() => 503)
  await postgres.kill()
  try {
    // Until the service has noticed, what it knows to be good stays so.
    await vi.waitFor(async () => expect(await withSession()).toEqual(noneOfThem), {
      timeout: 15_000,
      interval: 200,
    })
    expect(refused).toEqual([])
  } finally {
    await postgres.restart()
  }
  await whenAllWorks()
})
