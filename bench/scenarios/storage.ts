import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchDatabase } from '../database.ts'
import { detailOf, measure } from '../measured.ts'
import { addAccounts, addSessions } from '../people.ts'
import { range, refreshersOf } from '../refreshing.ts'
import { figure } from '../row.ts'
import type { Scenario } from '../scenario.ts'

const sessions = 100
const refreshes = 100_000
const atOnce = 16

type Counts = { updates: number; hot: number }
type Space = {
  rows: number
  index_bytes: number
  table_bytes: number
  wal: string
  commits: number
}

const countsText = `SELECT n_tup_upd::float8 AS updates, n_tup_hot_upd::float8 AS hot
  FROM pg_stat_user_tables WHERE relname = 'sessions'`

const spaceText = `SELECT (SELECT count(*) FROM sessions)::float8 AS rows, pg_indexes_size('sessions')::float8 AS index_bytes,
    pg_table_size('sessions')::float8 AS table_bytes, pg_current_wal_lsn()::text AS wal,
    (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())::float8 AS commits`

const one = async <Row extends object>(
  database: BenchDatabase,
  text: string,
  values: readonly unknown[] = [],
) => {
  const [row] = await database.ask<Row>(text, values)
  if (!row) throw new Error('no row')
  return row
}

/** Postgres reports its statistics up to a second late, and an idle backend only when it next does something. */
const settledCounts = async (database: BenchDatabase, expected: number): Promise<Counts> => {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const counts = await one<Counts>(database, countsText)
    if (counts.updates >= expected) return counts
    await sleep(100)
  }
  throw new Error('the statistics do not show all updates')
}

/** What a hundred thousand refreshes leave behind: only the hundred rows they began with. */
export const storage: Scenario = {
  name: 'storage',
  run: async (stage) => {
    const database = await stage.database('storage')
    await addAccounts(database, sessions, 'never verified here')
    await addSessions(database, sessions, sessions)
    const server = await stage.server(database)
    const refreshers = refreshersOf(range(0, sessions))
    const before = await one<Space>(database, spaceText)
    const sample = await measure(stage, [server], () =>
      refreshers.run(server.address, atOnce, { count: refreshes }),
    )
    await server.end()
    const { updates, hot } = await settledCounts(database, refreshes)
    const after = await one<Space>(database, spaceText)
    const wal = await one<{ bytes: number }>(
      database,
      'SELECT pg_wal_lsn_diff($1::pg_lsn, $2::pg_lsn)::float8 AS bytes',
      [after.wal, before.wal],
    )
    const exactly = (what: string, unit: string, value: number, most: number) =>
      figure({ what, unit, hold: { atMost: most } }, value)
    const each = (value: number) => value / sample.count
    return {
      rows: [
        exactly(
          `rows after ${refreshes} refreshes of ${sessions} sessions`,
          'rows',
          after.rows,
          sessions,
        ),
        exactly('their growth of all indexes', 'bytes', after.index_bytes - before.index_bytes, 0),
        figure(
          { what: 'their heap-only updates', unit: '%', hold: { atLeast: 100 } },
          (100 * hot) / updates,
        ),
        // Statistics and the purge also commit now and then.
        exactly('their transactions each', '', each(after.commits - before.commits), 1.01),
        figure({ what: 'their write-ahead log each', unit: 'bytes' }, each(wal.bytes)),
        figure(
          { what: 'growth of the table', unit: 'KB' },
          (after.table_bytes - before.table_bytes) / 1000,
        ),
      ],
      details: [detailOf(`refresh of ${sessions} sessions, ${atOnce} at once`, [sample])],
    }
  },
}
