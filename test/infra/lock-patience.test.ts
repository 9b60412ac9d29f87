import { readFile } from 'node:fs/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { explainFailure } from '../../src/explain-failure.ts'
import type { Database } from '../../src/infra/postgres/database.ts'
import {
  type LockPatience,
  MigrationBlocked,
  withLockPatience,
} from '../../src/infra/postgres/lock-patience.ts'
import { systemClock } from '../../src/lib/machine.ts'
import { beginDump } from '../support/servers/dump.ts'
import {
  type MigratedDatabase,
  migratedDatabase,
  ownerPool,
} from '../support/servers/migrated-database.ts'
import { sqlAs } from '../support/servers/sql.ts'

let migrated: MigratedDatabase
let owner: Database

beforeAll(async () => {
  migrated = await migratedDatabase()
  owner = ownerPool(migrated.ownerUrl)
})
afterAll(async () => {
  await owner.close()
  await migrated.drop()
})

const patience = (more: Partial<LockPatience> = {}): LockPatience => ({
  clock: systemClock,
  fraction: () => 0.5,
  patienceMs: 600_000,
  onWait: () => undefined,
  ...more,
})

const addColumn = (name: string) => ({
  name: 'change',
  text: `ALTER TABLE sessions ADD COLUMN ${name} integer`,
})

const hasColumn = async (name: string): Promise<boolean> => {
  const text = `SELECT FROM information_schema.columns WHERE table_name = 'sessions' AND column_name = $1`
  return (await sqlAs(migrated.ownerUrl)(text, [name])).length === 1
}

test('a change that needs a table whole lets others read and write it while a dump holds it, names the dump, and is made when the dump ends', async () => {
  const dump = await beginDump(migrated.ownerUrl)
  const waits: string[] = []
  const changing = withLockPatience(
    owner,
    patience({ onWait: (text) => waits.push(text) }),
    (attempt) => attempt((sql) => sql.query(addColumn('after_dump'))),
  )
  // Each of these would wait behind a request for the table that waits for the dump.
  for (let round = 0; round < 40 || waits.length === 0; round += 1) {
    await sqlAs(migrated.appUrl)('SELECT count(*) FROM sessions')
    await sqlAs(migrated.appUrl)('UPDATE sessions SET last_used_at = now() WHERE false')
  }
  expect(await hasColumn('after_dump')).toBe(false)
  await dump.end()
  await changing
  expect(await hasColumn('after_dump')).toBe(true)
  expect(waits[0]).toMatch(
    new RegExp(
      `^the migration waits for pid ${dump.pid} \\(pg_dump of role \\S+, query started \\d{4}-\\d\\d-\\d\\dT\\S+Z\\)$`,
    ),
  )
})

test('after its patience it gives up with an error that names who held the table, and nothing is done', async () => {
  const dump = await beginDump(migrated.ownerUrl)
  let nowMs = 0
  const waits: string[] = []
  const clock = { monotonicMs: () => nowMs }
  const onWait = (text: string) => {
    waits.push(text)
    nowMs += 5_000
  }
  const changing = withLockPatience(
    owner,
    patience({ clock, onWait, patienceMs: 5_000 }),
    (attempt) => attempt((sql) => sql.query(addColumn('never'))),
  )
  const failure = await changing.catch((error: unknown) => error)
  await dump.end()
  expect(failure).toBeInstanceOf(MigrationBlocked)
  expect(explainFailure(failure)).toMatchObject({
    code: 'migration_blocked',
    messages: [
      expect.stringContaining(`not free within 5 s; held by pid ${dump.pid} (pg_dump of role `),
    ],
    hint: expect.stringContaining('`cardea migrate`'),
    exitCode: 1,
  })
  expect(await hasColumn('never')).toBe(false)
})

test('of two that try at once one does everything while the other waits for it, however often it has to try', async () => {
  const others = ownerPool(migrated.ownerUrl)
  const dump = await beginDump(migrated.ownerUrl)
  const order: string[] = []
  const changeAs = (who: string, database: Database, waits: string[]) =>
    withLockPatience(
      database,
      patience({ onWait: (text) => waits.push(text) }),
      async (attempt) => {
        order.push(`${who} begins`)
        await attempt((sql) => sql.query(addColumn(who)))
        order.push(`${who} ends`)
      },
    )
  const waits = { first: [] as string[], second: [] as string[] }
  const first = changeAs('first', owner, waits.first)
  await vi.waitFor(() => expect(waits.first).toHaveLength(1))
  const second = changeAs('second', others, waits.second)
  await vi.waitFor(() => expect(waits.second[0]).toContain('(cardea of role '))
  await dump.end()
  await Promise.all([first, second])
  await others.close()
  expect(order).toEqual(['first begins', 'first ends', 'second begins', 'second ends'])
})

test('the grants that follow every migration lock no table against anybody', async () => {
  const sql = new pg.Client(migrated.ownerUrl)
  await sql.connect()
  const role = decodeURIComponent(new URL(migrated.appUrl).username)
  const grants = await readFile(new URL('../../migrations/privileges.sql', import.meta.url), 'utf8')
  await sql.query('BEGIN')
  await sql.query(`SELECT set_config('cardea.app_role', $1, true)`, [role])
  await sql.query(grants)
  const { rows } = await sql.query(
    `SELECT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
      WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'public'::regnamespace
        AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')`,
  )
  await sql.query('ROLLBACK')
  await sql.end()
  expect(rows).toEqual([])
})
