import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { buildIndexes, missingIndexes } from '../../src/infra/postgres/build-indexes.ts'
import { type Database, openDatabase } from '../../src/infra/postgres/database.ts'
import { beginDump } from '../support/servers/dump.ts'
import { type MigratedDatabase, migratedDatabase } from '../support/servers/migrated-database.ts'
import { type RunSql, sqlAs } from '../support/servers/sql.ts'

const name = 'audit_events_by_time'

let migrated: MigratedDatabase
let owner: Database
let other: Database
let asOwner: RunSql

const open = () =>
  openDatabase({
    url: migrated.ownerUrl,
    poolSize: 2,
    connectTimeoutMs: 60_000,
    statementTimeoutMs: 0,
    preparedStatements: false,
    onIdleError: () => undefined,
  })

beforeAll(async () => {
  migrated = await migratedDatabase()
  owner = open()
  other = open()
  asOwner = sqlAs(migrated.ownerUrl)
})
afterAll(async () => {
  await owner.close()
  await other.close()
  await migrated.drop()
})

beforeEach(() => asOwner(`DROP INDEX IF EXISTS ${name}`))

const patient = { waitMs: 600_000, onGiveUp: () => undefined }

const addEntry = () =>
  sqlAs(migrated.appUrl)(
    `INSERT INTO audit_events (at, event, outcome, actor, details) VALUES (now(), 'logout', 'success', 'system', '{}')`,
  )

const building = async () => (await asOwner(`SELECT FROM pg_stat_progress_create_index`)).length > 0

test('an index that is missing is built, once', async () => {
  expect(await missingIndexes(migrated.database)).toEqual([name])
  expect(await buildIndexes(owner, patient)).toEqual([name])
  expect(await missingIndexes(migrated.database)).toEqual([])
  expect(await buildIndexes(owner, patient)).toEqual([])
})

test('while it waits for a dump the trail is written and read, and when the dump ends it is built', async () => {
  const dump = await beginDump(migrated.ownerUrl)
  const built = buildIndexes(owner, patient)
  await vi.waitUntil(building)
  for (let round = 0; round < 10; round += 1) await addEntry()
  expect(await missingIndexes(migrated.database)).toEqual([name])
  await dump.end()
  expect(await built).toEqual([name])
  expect(await missingIndexes(migrated.database)).toEqual([])
})

test('a start does not wait for the dump; what it left half-done is no obstacle later', async () => {
  const dump = await beginDump(migrated.ownerUrl)
  const told: string[] = []
  const hurried = { waitMs: 50, onGiveUp: (text: string) => told.push(text) }
  expect(await buildIndexes(owner, hurried)).toEqual([])
  expect(told).toEqual([expect.stringContaining('`cardea migrate` builds it later')])
  await addEntry()
  expect(await missingIndexes(migrated.database)).toEqual([name])
  await dump.end()
  expect(await buildIndexes(owner, patient)).toEqual([name])
  expect(await missingIndexes(migrated.database)).toEqual([])
})

test('of two processes at once one builds it, and the other goes on', async () => {
  const dump = await beginDump(migrated.ownerUrl)
  const first = buildIndexes(owner, patient)
  await vi.waitUntil(building)
  expect(await buildIndexes(other, patient)).toEqual([])
  await dump.end()
  expect(await first).toEqual([name])
  expect(await missingIndexes(migrated.database)).toEqual([])
})
