import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import {
  findRunningEmbeddedPostgres,
  processesOn,
} from '../../packages/embedded-stores/src/index.ts'
import {
  type ChildService,
  firstOperatorEmail,
  printedPassword,
  type ServiceHome,
  serviceHome,
} from '../support/child-service.ts'
import { type Client, httpClient } from '../support/client.ts'
import { holdSessions } from '../support/hold-rows.ts'

let home: ServiceHome
let client: Client
let service: ChildService
let password: string

beforeAll(async () => {
  // Requests are held up on purpose; see holdSessions.
  home = await serviceHome({
    LOG_LEVEL: 'warn',
    DATABASE_STATEMENT_TIMEOUT_MS: '8000',
    REFRESH_GRACE_SECONDS: '60',
  })
  client = httpClient(home.address)
  service = await home.start()
  password = printedPassword(service)
})
beforeEach(async () => {
  const isRunning = await client.get('/health/live').catch(() => undefined)
  if (!isRunning) service = await home.start()
})
afterAll(async () => {
  await endPostgres()
  await home.remove()
})

const directory = (): string => join(home.folder, '.data', 'postgres')

const postgres = (): Promise<number[]> => processesOn(directory())

const endPostgres = async (): Promise<void> => {
  for (const pid of await postgres()) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It ended with the one before it.
    }
  }
}

const logIn = () => client.logIn({ email: firstOperatorEmail, password })

const expectNoPostgres = (): Promise<void> =>
  vi.waitFor(async () => expect(await postgres()).toEqual([]), { interval: 50 })

/** The shell that ends the Postgres of a service that was killed, found by its command line. */
const watchdogOf = async (postmaster: number): Promise<number | undefined> => {
  for (const name of await readdir('/proc')) {
    const file = `/proc/${name}/cmdline`
    if (!/^\d+$/.test(name) || !existsSync(file)) continue
    const words = (await readFile(file, 'utf8').catch(() => '')).split('\0')
    if (words.includes('cardea-watchdog') && words.includes(String(postmaster))) return Number(name)
  }
  return undefined
}

test('kill -9 of the service ends its Postgres too, and the next start has everything that was answered', async () => {
  const { refreshToken } = await logIn()
  const newest = (await client.refresh(refreshToken)).refreshCookie ?? ''
  expect(await postgres()).not.toEqual([])
  service.signal('SIGKILL')
  await service.ended
  await expectNoPostgres()
  service = await home.start()
  expect(service.stdout()).not.toMatch(/password {2}/)
  expect((await client.refresh(newest)).status).toBe(200)
  await logIn()
})

test('a Postgres that was left over, because its watchdog was killed too, is ended by the next start', async () => {
  const { refreshToken } = await logIn()
  const leftOver = await postgres()
  const watchdog = await watchdogOf(Math.min(...leftOver))
  expect(watchdog).toBeDefined()
  process.kill(watchdog ?? 0, 'SIGKILL')
  service.signal('SIGKILL')
  await service.ended
  expect(await postgres()).toEqual(expect.arrayContaining([Math.min(...leftOver)]))
  service = await home.start()
  const now = await postgres()
  expect(now.filter((pid) => leftOver.includes(pid))).toEqual([])
  expect((await client.refresh(refreshToken)).status).toBe(200)
})

test('starting twice on one folder is refused with an error, a hint and exit code 4, and disturbs nobody', async () => {
  const second = home.spawn({ PORT: '0', ISSUER: 'http://127.0.0.1:1' })
  expect(await second.ended).toEqual({ code: 4, signal: null })
  expect(second.stderr()).toMatch(/^error: .*already uses.*\nhint: .+\n$/)
  expect(second.stderr()).toContain(String(service.pid))
  await logIn()
})

test('Ctrl-C, which reaches the whole process group, finishes what is under way, then stops service and Postgres', async () => {
  const sessions = [await logIn(), await logIn()]
  const running = await findRunningEmbeddedPostgres(directory())
  const held = await holdSessions(running?.ownerUrl ?? '')
  const underWay = sessions.map(({ refreshToken }) => client.refresh(refreshToken))
  await held.whenWaiting(underWay.length)
  service.signalGroup('SIGINT')
  await vi.waitFor(async () => {
    const answer = await client.get('/health/live').catch(() => undefined)
    expect(answer?.status).not.toBe(200)
  })
  await held.release()
  const answers = await Promise.all(underWay)
  expect(answers.map(({ status }) => status)).toEqual([200, 200])
  expect(await service.ended).toEqual({ code: 0, signal: null })
  expect(await postgres()).toEqual([])
  service = await home.start()
  for (const { refreshCookie } of answers) {
    expect((await client.refresh(refreshCookie ?? '')).status).toBe(200)
  }
})

test('the service ends with an error when its Postgres is gone for good', async () => {
  await endPostgres()
  const { code } = await service.ended
  expect(code).toBe(1)
  expect(service.stderr()).toMatch(/^error: the embedded Postgres has ended/m)
})
