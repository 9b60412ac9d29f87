import { afterEach, beforeEach, expect, inject, test, vi } from 'vitest'
import { processesOn } from '../../packages/embedded-stores/src/index.ts'
import { runCli } from '../cli/run-cli.ts'
import {
  type ChildService,
  type ServiceHome,
  serviceHome,
} from '../support/programs/child-service.ts'
import { freePort } from '../support/servers/free-port.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { type Fate, startTcpProxy } from '../support/servers/tcp-proxy.ts'

const secret = 'a-secret-of-the-patient-starts-of-the-tests'

let database: FreshDatabase
const atEnd: (() => Promise<void>)[] = []
beforeEach(async () => {
  database = await freshDatabase()
})
afterEach(async () => {
  for (const end of atEnd.splice(0).reverse()) await end()
  await database.drop()
})

const onPort = (url: string, port: number): string => {
  const changed = new URL(url)
  changed.hostname = '127.0.0.1'
  changed.port = String(port)
  return changed.href
}

const settingsFor = (through: (url: string) => string) => ({
  DATABASE_URL: through(database.appUrl),
  MIGRATE_DATABASE_URL: through(database.ownerUrl),
  REDIS_URL: inject('redisUrl'),
  CARDEA_SECRET: secret,
  LOG_LEVEL: 'warn',
})

const home = async (settings: Readonly<Record<string, string>>): Promise<ServiceHome> => {
  const made = await serviceHome(settings)
  atEnd.push(made.remove)
  return made
}

const whenListening = (service: ChildService): Promise<void> =>
  vi.waitFor(() => expect(service.stdout()).toContain('Cardea listens on'))

test('a service that starts before its database waits for it, and says so', async () => {
  const port = await freePort()
  const service = (await home(settingsFor((url) => onPort(url, port)))).spawn()
  const waits = `waiting up to 30 s for Postgres at 127.0.0.1:${port}: `
  await vi.waitFor(() => expect(service.stderr()).toContain(waits))
  const proxy = await startTcpProxy(database.appUrl, undefined, port)
  atEnd.push(proxy.stop)
  await whenListening(service)
})

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s ends a start that waits for its database',
  async (signal) => {
    const port = await freePort()
    const place = await home(settingsFor((url) => onPort(url, port)))
    const service = place.spawn({ DATABASE_START_TIMEOUT_SECONDS: '3600' })
    await vi.waitFor(() => expect(service.stderr()).toContain('waiting up to 3600 s for Postgres'))
    process.kill(service.pid, signal)
    expect(await service.ended).toEqual({ code: 0, signal: null })
    expect(service.stderr()).not.toContain('error:')
  },
)

test('a start that waited in vain says what was tried and which setting to change, with exit code 5', async () => {
  const port = await freePort()
  const place = await home(settingsFor((url) => onPort(url, port)))
  const service = place.spawn({ DATABASE_START_TIMEOUT_SECONDS: '1' })
  expect(await service.ended).toEqual({ code: 5, signal: null })
  const text = service.stderr()
  expect(text).toMatch(
    new RegExp(`^error: .*127\\.0\\.0\\.1:${port} was tried for 1 s.*ECONNREFUSED`, 'm'),
  )
  expect(text).toMatch(/^hint: .*DATABASE_URL.*DATABASE_START_TIMEOUT_SECONDS/m)
  expect(text).not.toContain(new URL(database.appUrl).password)
})

test.each([
  ['the password is wrong', (url: URL) => Object.assign(url, { password: 'zX9-wrong' })],
  ['there is no such database', (url: URL) => Object.assign(url, { pathname: '/nowhere' })],
])('a start fails at once when %s, however long it may wait', async (_why, change) => {
  const settings = settingsFor((url) => change(new URL(url)).href)
  const service = (await home(settings)).spawn({ DATABASE_START_TIMEOUT_SECONDS: '3600' })
  expect(await service.ended).toEqual({ code: 5, signal: null })
  expect(service.stderr()).toMatch(/^error: .+\nhint: .*DATABASE_URL.*\n$/)
})

/** Loses the replies to the first reads of the log of revocations, so that these reads time out. */
const losesFirstReads = (count: number) => {
  let left = count
  let lost = 0
  const observe = () => {
    let fate: Fate = 'pass'
    return {
      onClientBytes: (bytes: Buffer) => {
        if (left > 0 && bytes.includes('pg_current_snapshot()')) {
          left -= 1
          fate = 'lose'
        }
      },
      onServerBytes: () => {
        if (fate === 'lose') lost += 1
        return fate
      },
    }
  }
  return { observe, lost: () => lost }
}

test('a first start on a database that is slow to connect and whose first reads time out prints no warning', async () => {
  const { observe, lost } = losesFirstReads(2)
  const proxy = await startTcpProxy(database.appUrl, observe)
  atEnd.push(proxy.stop)
  // A connection takes several round trips, and so longer than a request would wait.
  proxy.slowDown({ toClientMs: 200 })
  const service = (await home(settingsFor(proxy.through))).spawn()
  await whenListening(service)
  expect(lost()).toBeGreaterThan(0)
  // What comes after the greeting is not of the start: background work on a slow database may warn.
  const [start] = service.stdout().split('Cardea listens on')
  expect(start).not.toContain('"level"')
  expect(service.stderr()).not.toMatch(/warning|error/i)
})

test('migrate and commands work on a database that is slower than a request would wait for', async () => {
  const proxy = await startTcpProxy(database.appUrl)
  atEnd.push(proxy.stop)
  proxy.slowDown({ toClientMs: 200 })
  const settings = settingsFor(proxy.through)
  expect((await runCli(['migrate'], settings)).code).toBe(0)
  const listed = await runCli(['account', 'list'], settings)
  expect(listed).toMatchObject({ code: 0, stderr: '' })
  const checked = await runCli(['doctor', '--json'], settings)
  const { checks } = checked.json()
  for (const name of ['postgres', 'schema', 'signing-keys']) {
    expect(checks).toContainEqual(expect.objectContaining({ name, state: 'ok' }))
  }
})

test('a command beside a service whose embedded Postgres does not reply says nothing of DATABASE_URL, which is not set', async () => {
  const place = await home({ LOG_LEVEL: 'warn' })
  const service = await place.start()
  const dataDir = `${place.folder}/.data`
  const postgres = await processesOn(`${dataDir}/postgres`)
  for (const pid of postgres) process.kill(pid, 'SIGSTOP')
  const { code, stderr } = await runCli(['account', 'list'], {
    DATA_DIR: dataDir,
    DATABASE_START_TIMEOUT_SECONDS: '1',
  })
  for (const pid of postgres) process.kill(pid, 'SIGCONT')
  expect(code).toBe(5)
  expect(stderr).toMatch(/^error: .*127\.0\.0\.1:\d+ was tried for 1 s/m)
  expect(stderr).toMatch(/^hint: .*embedded Postgres.*DATABASE_START_TIMEOUT_SECONDS/m)
  expect(stderr).not.toContain('DATABASE_URL')
  service.signal('SIGTERM')
  await service.ended
})
