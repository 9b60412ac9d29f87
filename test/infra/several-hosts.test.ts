import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { awaitPrimary } from '../../src/infra/postgres/await-primary.ts'
import type { Database } from '../../src/infra/postgres/database.ts'
import { listen } from '../../src/infra/postgres/listen.ts'
import { systemClock } from '../../src/lib/machine.ts'
import { postgresHosts } from '../../src/lib/postgres-url.ts'
import { freePort } from '../support/servers/free-port.ts'
import { appPool } from '../support/servers/migrated-database.ts'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import { type PostgresStandby, startStandby } from '../support/servers/postgres-standby.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'

let primary: PostgresServer
let standby: PostgresStandby

beforeAll(async () => {
  primary = await startPostgres()
  standby = await startStandby(primary)
})
afterAll(async () => {
  await standby.stop()
  await primary.stop()
})

/** The servers in this order, as one URL: their roles and passwords are the same. */
const together = (first: string, ...others: readonly string[]): string => {
  const { host } = new URL(first)
  return first.replace(host, [host, ...others.map((url) => new URL(url).host)].join(','))
}

const open = (url: string): Database => {
  const database = appPool(url)
  onTestFinished(database.close)
  return database
}

const portOf = async (database: Database): Promise<string | undefined> => {
  const text = "SELECT current_setting('port') AS port"
  return (await database.query<{ port: string }>({ name: 'port', text }))[0]?.port
}

test.each([
  ['postgres://u:p@a,b/d', ['postgres://u:p@a/d', 'postgres://u:p@b/d']],
  [
    'postgresql://u:p%40,@a:1,[::1]:2,c/d?sslmode=verify-full',
    [
      'postgresql://u:p%40,@a:1/d?sslmode=verify-full',
      'postgresql://u:p%40,@[::1]:2/d?sslmode=verify-full',
      'postgresql://u:p%40,@c/d?sslmode=verify-full',
    ],
  ],
  [
    'postgres://u:p@/d?host=a,/run/pg&port=5,6',
    ['postgres://u:p@/d?host=a&port=5', 'postgres://u:p@/d?host=%2Frun%2Fpg&port=6'],
  ],
  [
    'postgres://u@/d?host=a,b&port=5',
    ['postgres://u@/d?host=a&port=5', 'postgres://u@/d?host=b&port=5'],
  ],
  ['postgres://u:p@a/d?x=1,2', ['postgres://u:p@a/d?x=1,2']],
])('%s names its hosts in their order', (url, hosts) => {
  expect(postgresHosts(url)).toEqual(hosts)
})

test('R104: of several hosts the primary is used, wherever it stands and whatever the others do', async () => {
  const nowhere = Object.assign(new URL(primary.appUrl), { port: String(await freePort()) }).href
  const port = new URL(primary.appUrl).port
  expect(await portOf(open(together(standby.appUrl, nowhere, primary.appUrl)))).toBe(port)
  // One that takes connections and never replies holds a new connection up for a moment, not for all of its time.
  await standby.freeze()
  const url = together(standby.appUrl, primary.appUrl)
  expect(await portOf(open(url))).toBe(port)
  const waits: string[] = []
  const onWait = (why: string) => waits.push(why)
  await awaitPrimary({ url, patienceMs: 60_000, clock: systemClock, onWait })
  expect(waits).toEqual([])
  const heard: string[] = []
  const listening = listen({
    url,
    channel: 'news',
    onNotice: (text) => heard.push(text),
    onConnect: () => heard.push('connected'),
    onError: () => undefined,
    fraction: () => 0.5,
  })
  onTestFinished(listening.stop)
  await vi.waitFor(() => expect(heard).toEqual(['connected']))
  await sqlAs(primary.ownerUrl)("SELECT pg_notify('news', 'hello')")
  await vi.waitFor(() => expect(heard).toEqual(['connected', 'hello']))
  await standby.thaw()
})

test('R104: when none of several hosts is a primary the store is away, and the error names each', async () => {
  const port = await freePort()
  const nowhere = Object.assign(new URL(primary.appUrl), { port: String(port) }).href
  const url = together(nowhere, standby.appUrl)
  const database = open(url)
  const failure = await database.ping().catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'store_unavailable', status: 503 })
  expect(database.isNotPrimary(failure)).toBe(true)
  const waiting = awaitPrimary({ url, patienceMs: 1, clock: systemClock, onWait: () => undefined })
  const { port: standbyPort } = new URL(standby.appUrl)
  await expect(waiting).rejects.toMatchObject({
    cause: {
      message: expect.stringMatching(
        new RegExp(`127.0.0.1:${port}: .*ECONNREFUSED.*; 127.0.0.1:${standbyPort}: .*standby`),
      ),
    },
  })
})

test('a password that every host refuses is told at once, however long there is to wait', async () => {
  const wrong = (url: string) => Object.assign(new URL(url), { password: 'wrong' }).href
  const url = together(wrong(standby.appUrl), primary.appUrl)
  const waiting = awaitPrimary({
    url,
    patienceMs: 3_600_000,
    clock: systemClock,
    onWait: () => undefined,
  })
  await expect(waiting).rejects.toMatchObject({ cause: { code: '28P01' } })
})

test('closing does not wait for a search among hosts that do not reply, and leaves no connection', async () => {
  await primary.freeze()
  await standby.freeze()
  const url = together(primary.appUrl, standby.appUrl)
  const database = appPool(url, { connectTimeoutMs: 100, statementTimeoutMs: 1_000 })
  await expect(database.ping()).rejects.toMatchObject({ code: 'store_unavailable' })
  await database.close()
  await primary.thaw()
  await standby.thaw()
  const others = `SELECT FROM pg_stat_activity WHERE application_name LIKE 'cardea%'`
  for (const { ownerUrl } of [primary, standby]) {
    await vi.waitFor(async () => expect(await sqlAs(ownerUrl)(others)).toEqual([]))
  }
})

// The last one: there are two primaries afterwards.
test('R104: a service follows its primary from host to host without a restart, however the old one goes', async () => {
  const appUrl = together(primary.appUrl, standby.appUrl)
  const cardea = await startCardea({
    database: { ownerUrl: primary.ownerUrl, appUrl },
    redisUrl: null,
    config: { databaseConnectTimeoutMs: 2_000, databaseStatementTimeoutMs: 2_000 },
  })
  onTestFinished(cardea.stop)
  const ready = () => cardea.client.get('/health/ready').then(({ body }) => body.stores.postgres)
  expect(await ready()).toBe('ready')
  await primary.freeze()
  await vi.waitFor(async () => expect(await ready()).not.toBe('ready'))
  await standby.promote()
  await vi.waitFor(async () => expect(await ready()).toBe('ready'))
  await primary.thaw()
})
