import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from '../../lib/machine.ts'
import type { Database, Sql } from './database.ts'
import { advisoryLock } from './own-schema.ts'

export type LockPatience = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** A number in [0, 1). */
  readonly fraction: () => number
  /** The total time for all attempts. */
  readonly patienceMs: number
  /** Called with what is waited for: after the first failed attempt, and then at intervals. */
  readonly onWait: (text: string) => void
}

/** Another session held a lock for longer than the migration's total wait. */
export class MigrationBlocked extends Error {
  override readonly name = 'MigrationBlocked'
}

/**
 * How long a statement waits for a lock. When a request for a strong lock waits for a long reader (`pg_dump` reads every table in one
 * transaction), every later reader waits behind it. So this must be well below the time limit of requests.
 */
const lockTimeoutMs = 100

/** Between two attempts, varied by up to half. Nobody waits during nine tenths of the time. */
const pauseMs = 1_000

const sayEveryMs = 30_000

/** How often the sessions that block an attempt are checked. */
const lookEveryMs = 20

/**
 * Two numbers for advisory locks; the first is 'cardea' in ASCII. One is held while the schema changes. The other one is also held between
 * the attempts: otherwise, with many processes that try, the tables would be blocked almost all the time.
 */
const changing = '109252285588833'
const trying = '109252285588834'

/** Until the end of the transaction, so that a limit of the role, which a pooler's connection has, stops no migration. */
const noLimits = {
  name: 'migrate_no_limits',
  text: `SELECT set_config(name, '0', true)
    FROM unnest('{statement_timeout,idle_in_transaction_session_timeout,transaction_timeout}'::text[]) AS name
    WHERE current_setting(name, true) IS NOT NULL`,
}

export const withoutLimits = async (sql: Sql): Promise<void> => {
  await sql.query(noLimits)
}

const statements = {
  limitLocks: (ms: number) => ({
    name: 'migrate_limit_locks',
    text: `SET LOCAL lock_timeout = ${Math.max(1, Math.ceil(ms))}`,
  }),
  lock: (number: string) => ({
    name: 'migrate_lock',
    text: `SELECT ${advisoryLock(number)}`,
  }),
  pid: { name: 'migrate_pid', text: 'SELECT pg_backend_pid() AS pid' },
  blockers: {
    name: 'migrate_blockers',
    // The query start is hidden from a role that may not see the sessions of other roles.
    text: `SELECT pid, application_name AS application, usename AS role, query_start AS since
      FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1)) ORDER BY xact_start LIMIT 5`,
  },
}

type Blocker = {
  readonly pid: number
  readonly application: string | null
  readonly role: string | null
  readonly since: Date | null
}

const describe = (blockers: readonly Blocker[]): string => {
  if (blockers.length === 0) return 'another session'
  return blockers
    .map(({ pid, application, role, since }) => {
      const query = since === null ? '' : `, query started ${since.toISOString()}`
      return `pid ${pid} (${application || 'an unnamed application'} of role ${role}${query})`
    })
    .join(', ')
}

/** SQLSTATE lock_not_available, and deadlock_detected, which is the cause of a `store_unavailable`. */
const isLocked = (error: unknown): boolean => {
  if (!(error instanceof Error)) return false
  return (
    ('code' in error && (error.code === '55P03' || error.code === '40P01')) || isLocked(error.cause)
  )
}

type Attempt = <T>(work: (sql: Sql) => Promise<T>) => Promise<T>

type Seen = (blockers: readonly Blocker[]) => void

/** Reports which sessions block the connection of `sql` while `act` runs. Another connection queries them. */
const watched = async <T>(
  sql: Sql,
  watcher: Sql,
  seen: Seen,
  act: () => Promise<T>,
): Promise<T> => {
  const [self] = await sql.query<{ pid: number }>(statements.pid)
  const acting = act()
  let isOver = false
  const over = acting
    .catch(() => undefined)
    .then(() => {
      isOver = true
    })
  const watch = async (): Promise<void> => {
    for (;;) {
      await Promise.race([over, pause(lookEveryMs)])
      if (isOver) return
      const blockers = await watcher.query<Blocker>(statements.blockers, [self?.pid])
      if (blockers.length > 0) seen(blockers)
    }
  }
  // If the query fails, the sessions are not named.
  await watch().catch(() => undefined)
  return acting
}

const untilUnlocked = async <T>(
  attempt: () => Promise<T>,
  later: (error: unknown) => Promise<void>,
): Promise<T> => {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!isLocked(error)) throw error
      await later(error)
    }
  }
}

/**
 * Runs transactions that need strong locks on tables in use, while the service runs. An attempt that does not get a lock at once is rolled
 * back, which lets all others pass, and repeated after a pause. One process at a time tries; the others wait for it.
 * @param owner two connections at least
 * @throws MigrationBlocked, and what `work` throws
 */
export const withLockPatience = async <T>(
  owner: Database,
  { clock, fraction, patienceMs, onWait }: LockPatience,
  work: (attempt: Attempt) => Promise<T>,
): Promise<T> => {
  const giveUpMs = clock.monotonicMs() + patienceMs
  let sayAtMs = Number.NEGATIVE_INFINITY
  let blockers: readonly Blocker[] = []
  const seen: Seen = (now) => {
    blockers = now
    const nowMs = clock.monotonicMs()
    if (nowMs < sayAtMs) return
    sayAtMs = nowMs + sayEveryMs
    onWait(`the migration waits for ${describe(blockers)}`)
  }
  const blocked = (cause: unknown): MigrationBlocked => {
    const text = `a lock that the migration needs was not free within ${Math.round(patienceMs / 1000)} s; held by ${describe(blockers)}`
    return new MigrationBlocked(text, { cause })
  }
  const lockWithin = async (sql: Sql, number: string, ms: number): Promise<void> => {
    await sql.query(statements.limitLocks(ms))
    await sql.query(statements.lock(number))
  }
  const once = <Done>(watcher: Sql, change: (sql: Sql) => Promise<Done>): Promise<Done> =>
    owner.transaction(async (sql) => {
      await withoutLimits(sql)
      return watched(sql, watcher, seen, async () => {
        await lockWithin(sql, changing, lockTimeoutMs)
        return change(sql)
      })
    })
  const later = async (error: unknown): Promise<void> => {
    if (clock.monotonicMs() >= giveUpMs) throw blocked(error)
    await pause(pauseMs * (0.5 + fraction()))
  }
  return owner.transaction(async (guard) => {
    await withoutLimits(guard)
    await watched(guard, owner, seen, () => lockWithin(guard, trying, patienceMs)).catch(
      (error: unknown) => {
        throw isLocked(error) ? blocked(error) : error
      },
    )
    return work((change) => untilUnlocked(() => once(guard, change), later))
  })
}
