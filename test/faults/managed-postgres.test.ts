import { globSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { loadConfig } from '../../src/config/index.ts'
import { openCore } from '../../src/core.ts'
import { explainFailure } from '../../src/explain-failure.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { postgresReadLog } from '../../src/revocation/index.ts'
import { prepareSchema } from '../../src/schema.ts'
import type { StoreCredentials } from '../../src/store-credentials.ts'
import { runCli } from '../cli/run-cli.ts'
import { appPool } from '../support/servers/migrated-database.ts'
import {
  type FreshDatabase,
  freshDatabase,
  startPostgres,
} from '../support/servers/postgres-server.ts'
import { startStandby } from '../support/servers/postgres-standby.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import { newServiceClient } from '../support/service/service-client.ts'

/** What providers withhold: the control file and the write-ahead log, which Aurora does not have. The service does without. */
const dispensable = [
  'pg_control_system()',
  'pg_current_wal_insert_lsn()',
  'pg_walfile_name(pg_lsn)',
  // Only another way to name the log, or who holds up a migration.
  'pg_postmaster_start_time()',
  'pg_blocking_pids(integer)',
]

/** Without these nothing works, and a start says which one it is. */
const needed = [
  'pg_is_in_recovery()',
  'pg_backend_pid()',
  'set_config(text,text,boolean)',
  'current_setting(text)',
  'pg_current_snapshot()',
  'pg_current_xact_id()',
  'pg_advisory_xact_lock(bigint)',
  'hashtextextended(text,bigint)',
  'pg_notify(text,text)',
  'pg_stat_get_bgwriter_stat_reset_time()',
  'clock_timestamp()',
]

/** Of the doctor, of migrations with the role of the owner, and of a hint for people. */
const elsewhere = ['pg_has_role', 'pg_terminate_backend', 'pg_try_advisory_xact_lock']

let database: FreshDatabase
let stores: StoreCredentials
const atEnd: (() => Promise<void>)[] = []

const config = {
  ...loadConfig({}),
  databaseConnectTimeoutMs: 30_000,
  databaseStatementTimeoutMs: 30_000,
}

beforeAll(async () => {
  database = await freshDatabase({ isMigrated: true })
  stores = {
    databaseUrl: database.appUrl,
    migrateUrl: database.ownerUrl,
    secrets: ['a secret of the tests that is long enough'],
    peppers: [],
    lost: new Promise(() => undefined),
    close: async () => undefined,
  }
})
afterAll(() => database.drop())
afterEach(async () => {
  for (const end of atEnd.splice(0).reverse()) await end()
})

/** As a provider does it; superusers alone may still call it. */
const withhold = async (functions: readonly string[], { ownerUrl } = database): Promise<void> => {
  const asOwner = sqlAs(ownerUrl)
  atEnd.push(async () => {
    for (const name of functions) await asOwner(`GRANT EXECUTE ON FUNCTION ${name} TO PUBLIC`)
  })
  for (const name of functions) await asOwner(`REVOKE EXECUTE ON FUNCTION ${name} FROM PUBLIC`)
}

/** What a start does before it listens. */
const start = async (): Promise<string> => {
  await prepareSchema(config, stores)
  const core = await openCore(config, stores, {
    random: systemRandom,
    report: () => undefined,
    reportEnd: () => undefined,
  })
  try {
    return await core.assertFit()
  } finally {
    await core.close()
  }
}

test('every function of Postgres’s own that the service calls is one of those tried here', () => {
  const files = [...globSync('src/**/*.ts'), ...globSync('migrations/*.sql')]
  const code = files.map((file) =>
    readFileSync(file, 'utf8').replace(/^ *(\*|\/\*|\/\/|--).*$/gm, ''),
  )
  const called = code.flatMap((text) => [...text.matchAll(/\b(pg_[a-z_]+)\(/g)])
  const tried = [...dispensable, ...needed].map((text) => text.split('(')[0])
  expect(called.length).toBeGreaterThan(10)
  expect([...new Set(called.map(([, name]) => name))].toSorted()).toEqual(
    [...tried, ...elsewhere].filter((name) => name?.startsWith('pg_')).toSorted(),
  )
})

test.each(dispensable)('a start does without %s', async (name) => {
  await withhold([name])
  expect(await start()).toMatch(/^[\w-]+$/)
})

test.each(needed)('a start without %s fails at once, and says what to allow', async (name) => {
  await withhold([name])
  const failure = explainFailure(await start().catch((error: unknown) => error))
  expect(failure).toMatchObject({
    code: 'database_unfit',
    messages: [expect.stringContaining(`function ${name.split('(')[0]}`)],
    hint: expect.stringContaining('GRANT EXECUTE ON FUNCTION'),
    exitCode: 1,
  })
})

const withheldByAurora = dispensable.slice(0, 3)

test('on a Postgres that withholds the write-ahead log and the control file a service serves the feed and is ready, and doctor says so', async () => {
  await withhold(withheldByAurora)
  const cardea = await startCardea({ database, instances: 2 })
  atEnd.push(cardea.stop)
  const client = await newServiceClient(cardea)
  const headers = { authorization: client.authorization }
  const feedIds = []
  for (const index of [0, 1]) {
    const feed = await cardea.clientOf(index).get('/revocations/snapshot', { headers })
    expect(feed.status).toBe(200)
    feedIds.push(feed.body.feed_id)
    const ready = await cardea.clientOf(index).get('/health/ready')
    expect([ready.status, ready.body.revocations]).toEqual([200, 'ready'])
  }
  expect(new Set(feedIds).size).toBe(1)
  const token = await cardea.operatorToken()
  const { id } = await cardea.createAccount()
  const revoked = await cardea.client.post('/admin/revoke', { token, body: { sub: id } })
  expect(revoked.status).toBe(200)
  const { checks } = await doctor()
  expect(checks).toContainEqual({
    name: 'postgres-functions',
    state: 'ok',
    message: expect.stringContaining(feedIds[0]),
  })
})

const doctor = async () => {
  const ran = await runCli(['doctor', '--json'], {
    DATABASE_URL: database.appUrl,
    REDIS_URL: inject('redisUrl'),
    CARDEA_SECRET: 'a secret of the tests that is long enough'.replaceAll(' ', '-'),
  })
  return ran.json()
}

test('what stops a start, doctor finds: it runs the same', async () => {
  await withhold(['pg_notify(text,text)'])
  const { checks } = await doctor()
  expect(checks).toContainEqual({
    name: 'postgres-functions',
    state: 'fail',
    message: expect.stringContaining('pg_notify'),
    fix: expect.stringContaining('GRANT EXECUTE'),
  })
  await expect(startCardea({ database })).rejects.toThrow(/pg_notify/)
})

describe('the name of the log without those functions', () => {
  test('R76: is the same for everybody, and another one after a restart, a crash and a fail-over', async () => {
    const server = await startPostgres()
    atEnd.push(server.stop)
    const own = { ...stores, databaseUrl: server.appUrl, migrateUrl: server.ownerUrl }
    await prepareSchema(config, own)
    await withhold(withheldByAurora, { ...database, ownerUrl: server.ownerUrl })
    // The server is ended by then, and with it what was withheld.
    atEnd.pop()
    const logOf = (url: string) => {
      const opened = appPool(url)
      atEnd.push(opened.close)
      return postgresReadLog(opened, { nowMs: () => 0 }, () => undefined)
    }
    const [one, other] = [logOf(server.appUrl), logOf(server.appUrl)]
    const names: string[] = []
    const readAgain = async () => {
      const name = await vi.waitFor(async () => (await one.snapshot()).feedId)
      expect(await vi.waitFor(() => other.identify())).toBe(name)
      expect((await one.changes({ running: [], next: 0n })).feedId).toBe(name)
      names.push(name)
    }
    await readAgain()
    await server.restart()
    await readAgain()
    const standby = await startStandby(server)
    atEnd.push(standby.stop)
    await server.kill()
    await server.restart()
    await readAgain()
    await standby.promote()
    const promoted = logOf(standby.appUrl)
    names.push(await vi.waitFor(() => promoted.identify()))
    expect(new Set(names).size).toBe(4)
  })
})
