import type { Database, Sql } from './database.ts'
import { withoutLimits } from './lock-patience.ts'
import { lockNumber } from './own-schema.ts'

/**
 * Indexes of tables that are large in large deployments. A migration would block everyone while it builds one, so they are built after the
 * migrations, while the service runs. They are optional: without them some reads scan a whole table.
 */
const indexes = [{ name: 'audit_events_by_time', on: 'audit_events (at)' }] as const

type Index = (typeof indexes)[number]

type State = 'missing' | 'unfinished' | 'there'

const statements = {
  state: {
    name: 'index_state',
    text: `SELECT coalesce((SELECT CASE WHEN indisvalid THEN 'there' ELSE 'unfinished' END
      FROM pg_index WHERE indexrelid = to_regclass($1)), 'missing') AS state`,
  },
  /** 'cardea' in ASCII, like the locks of the migrations. */
  tryLock: {
    name: 'index_lock',
    text: `SELECT pg_try_advisory_xact_lock(${lockNumber('109252285588835')}) AS "isOurs"`,
  },
  limitLocks: (ms: number) => ({ name: 'index_limit_locks', text: `SET lock_timeout = ${ms}` }),
  drop: (name: string) => ({ name: 'index_drop', text: `DROP INDEX CONCURRENTLY ${name}` }),
  build: ({ name, on }: Index) => ({
    name: 'index_build',
    text: `CREATE INDEX CONCURRENTLY ${name} ON ${on}`,
  }),
}

const stateOf = async (sql: Sql, { name }: Index): Promise<State> => {
  const [row] = await sql.query<{ state: State }>(statements.state, [name])
  return row?.state ?? 'missing'
}

/** The names of missing indexes and of unfinished ones. Reads only. */
export const missingIndexes = async (sql: Sql): Promise<string[]> => {
  const missing: string[] = []
  for (const index of indexes) {
    if ((await stateOf(sql, index)) !== 'there') missing.push(index.name)
  }
  return missing
}

/** SQLSTATE lock_not_available. */
const isLocked = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '55P03'

const build = async (owner: Sql, index: Index): Promise<boolean> => {
  const state = await stateOf(owner, index)
  if (state === 'there') return false
  if (state === 'unfinished') await owner.query(statements.drop(index.name))
  await owner.query(statements.build(index))
  return true
}

export type BuildOptions = {
  /** How long to wait for transactions that were open before: a build waits for all of them, twice. */
  readonly waitMs: number
  /** Called with the index that was given up, and what to do. */
  readonly onGiveUp: (text: string) => void
}

/**
 * Builds the missing indexes without blocking reads and writes. One process at a time does it; the others continue at once.
 * @param owner two connections: one holds the lock in a transaction, and an index cannot be built inside of one
 * @returns the names of the built indexes
 */
export const buildIndexes = (
  owner: Database,
  { waitMs, onGiveUp }: BuildOptions,
): Promise<string[]> =>
  owner.transaction(async (guard) => {
    await withoutLimits(guard)
    const [lock] = await guard.query<{ isOurs: boolean }>(statements.tryLock)
    if (!lock?.isOurs) return []
    await owner.query(statements.limitLocks(waitMs))
    const built: string[] = []
    for (const index of indexes) {
      try {
        if (await build(owner, index)) built.push(index.name)
      } catch (error) {
        if (!isLocked(error)) throw error
        onGiveUp(
          `the index ${index.name} waits for a transaction that has been open for long; \`cardea migrate\` builds it later`,
        )
      }
    }
    return built
  })
