import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Database } from '../../src/infra/postgres/database.ts'
import { mintSlackSeconds } from '../../src/lib/machine.ts'
import { appPool } from '../support/servers/migrated-database.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'

let fresh: FreshDatabase
let database: Database

beforeAll(async () => {
  fresh = await freshDatabase()
  database = appPool(fresh.ownerUrl, { poolSize: 1, idleInTransactionTimeoutMs: 500 })
  await sqlAs(fresh.ownerUrl)('CREATE TABLE notes (note text)')
})
afterAll(async () => {
  await database.close()
  await fresh.drop()
})

const write = {
  name: 'write',
  text: `INSERT INTO notes VALUES ('x') RETURNING pg_backend_pid() AS pid`,
}

const notes = () => sqlAs(fresh.ownerUrl)('SELECT FROM notes')

test('R104: Postgres ends a transaction that waits too long for its next statement: 503, nothing is written, and the next one works', async () => {
  const failure = await database
    .transaction(async (sql) => {
      const [{ pid } = { pid: 0 }] = await sql.query<{ pid: number }>(write)
      await vi.waitUntil(
        async () =>
          (await sqlAs(fresh.ownerUrl)('SELECT FROM pg_stat_activity WHERE pid = $1', [pid]))
            .length === 0,
      )
    })
    .catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'store_unavailable', status: 503 })
  expect(await notes()).toHaveLength(0)
  await database.transaction((sql) => sql.query(write))
  expect(await notes()).toHaveLength(1)
})

test('R77: so it is with the service, and well before the entry of a revocation that comes late would be forgotten too early', async () => {
  const cardea = await startCardea()
  try {
    const [row] =
      (await cardea.instances[0]?.core.database.query<{ setting: string; unit: string }>({
        name: 'idle_limit',
        text: `SELECT setting, unit FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'`,
      })) ?? []
    expect(row?.unit).toBe('ms')
    expect(Number(row?.setting)).toBeGreaterThan(0)
    expect(Number(row?.setting)).toBeLessThanOrEqual((mintSlackSeconds * 1000) / 2)
  } finally {
    await cardea.stop()
  }
})
