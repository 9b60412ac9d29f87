import type { FeedPage, RevocationEntry } from '../../packages/verifier/src/wire.ts'
import type { Sql } from '../infra/postgres/database.ts'
import { advisoryLock } from '../infra/postgres/own-schema.ts'
import type { Clock } from '../lib/machine.ts'
import type { FeedCursor } from './feed-cursor.ts'
import {
  entryLifetimeMs,
  ImpossibleRevocation,
  keyEntryLifetimeMs,
  type NewRevocation,
  type NewTokenRevocation,
} from './revocation.ts'

export type RevocationLog = {
  /** Appends an entry in the transaction of the change. Returns its sequence number. */
  readonly append: (revocation: NewRevocation) => Promise<number>
  /**
   * The same for a token, unless it already has an entry. A parallel call waits for the other transaction. Returns nothing when the token
   * was revoked before.
   */
  readonly appendTokenOnce: (revocation: NewTokenRevocation) => Promise<number | undefined>
  /**
   * Appends entries of another log that this one lacks, with their old ends, and returns those that were added. A parallel call waits, and
   * then finds them.
   */
  readonly appendMissing: (entries: readonly RevocationEntry[]) => Promise<RevocationEntry[]>
}

/** A row of the log, with the transaction that wrote it. */
export type LoggedEntry = { readonly xid: bigint; readonly entry: RevocationEntry }

/** The log as seen by one statement. */
export type LogChanges = {
  readonly feedId: string
  /** What that statement could see. Reading on from here returns every later row exactly once, however late it commits. */
  readonly cursor: FeedCursor
  /**
   * Visible rows that the given cursor has not seen and that have not ended, unordered. `too_many` when there are more than `maxChanges`.
   */
  readonly rows: readonly LoggedEntry[] | 'too_many'
}

/** Read access to the log. Both throw `store_unavailable` when Postgres is unreachable, or is a standby, which may be behind. */
export type ReadLog = {
  /** One statement, one round trip. */
  readonly changes: (from: FeedCursor) => Promise<LogChanges>
  /** Everything that has not ended, as of one moment, and the cursor to continue from. */
  readonly snapshot: () => Promise<FeedPage>
}

export type RevocationPurge = {
  /** Deletes at most `limit` entries that ended before this time. Returns how many. */
  readonly dropEnded: (beforeMs: number, limit: number) => Promise<number>
}

const insert = {
  name: 'revocation_insert',
  text: `INSERT INTO revocations (kind, key, min_epoch, not_after, actor, reason, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING seq`,
}

/** Locks for this transaction. It must be a separate statement: only the next one sees what the transaction it waited for has committed. */
const lockToken = {
  name: 'revocation_lock_token',
  text: "SELECT pg_advisory_xact_lock(hashtextextended('revoked token ' || $1, 0))",
}

const findToken = {
  name: 'revocation_find_token',
  text: "SELECT seq FROM revocations WHERE kind = 'jti' AND key = $1 AND not_after > least($2, now())",
}

const lockMissing = {
  name: 'revocation_lock_missing',
  text: `SELECT ${advisoryLock("hashtextextended('revocations of another log', 0)")}`,
}

/** An entry ends at a whole second in the feed format, and up to a second earlier in its row. */
const insertMissing = {
  name: 'revocation_insert_missing',
  text: `INSERT INTO revocations (kind, key, min_epoch, not_after, actor, reason, created_at)
    SELECT kind, key, min_epoch, to_timestamp(not_after), 'system', 'restored', $5
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS held (kind, key, min_epoch, not_after)
    WHERE NOT EXISTS (SELECT FROM revocations r
      WHERE r.kind = held.kind AND r.key = held.key AND r.min_epoch IS NOT DISTINCT FROM held.min_epoch
        AND r.not_after > to_timestamp(held.not_after - 1))
    RETURNING kind, key`,
}

/**
 * `least` here and in every statement that deletes by time: no process may delete by its own clock alone.
 *
 * Not FOR UPDATE SKIP LOCKED: that requires the privilege to update entries, which the application must not have. When two processes choose
 * the same rows, one waits for the other and finds them gone.
 */
const drop = {
  name: 'revocation_drop',
  text: `DELETE FROM revocations WHERE seq IN
           (SELECT seq FROM revocations WHERE not_after < least($1, now()) ORDER BY not_after LIMIT $2)
         RETURNING seq`,
}

/**
 * `onAppend` is called with each entry and the time at which its end was computed. `lifetimeMs` is only for a simulation with short-lived
 * tokens. It must be the same in every process.
 */
export const postgresRevocationLog = (
  sql: Sql,
  clock: Clock,
  onAppend: (entry: RevocationEntry, reckonedAtMs: number) => void,
  lifetimeMs = entryLifetimeMs,
): RevocationLog => {
  const append = async ({ target, actor, reason }: NewRevocation): Promise<number> => {
    const { kind, key } = target
    const nowMs = clock.nowMs()
    const notAfterMs = nowMs + (kind === 'kid' ? keyEntryLifetimeMs : lifetimeMs)
    const minEpoch = 'minEpoch' in target ? target.minEpoch : undefined
    const rows = await sql.query<{ seq: number }>(insert, [
      kind,
      key,
      minEpoch,
      new Date(notAfterMs),
      actor,
      reason,
      new Date(nowMs),
    ])
    const [row] = rows
    if (!row) throw new ImpossibleRevocation('an insert without a row')
    onAppend({ kind, key, minEpoch, notAfter: Math.ceil(notAfterMs / 1000) }, nowMs)
    return row.seq
  }
  const appendMissing: RevocationLog['appendMissing'] = async (entries) => {
    const nowMs = clock.nowMs()
    await sql.query(lockMissing)
    const rows = await sql.query<{ kind: string; key: string }>(insertMissing, [
      entries.map(({ kind }) => kind),
      entries.map(({ key }) => key),
      entries.map(({ minEpoch }) => minEpoch ?? null),
      entries.map(({ notAfter }) => notAfter),
      new Date(nowMs),
    ])
    const added = new Set(rows.map(({ kind, key }) => `${kind} ${key}`))
    const missing = entries.filter(({ kind, key }) => added.has(`${kind} ${key}`))
    for (const entry of missing) onAppend(entry, nowMs)
    return missing
  }
  return {
    append,
    appendMissing,
    appendTokenOnce: async ({ tokenId, ...rest }) => {
      await sql.query(lockToken, [tokenId])
      const found = await sql.query(findToken, [tokenId, new Date(clock.nowMs())])
      if (found.length > 0) return undefined
      return append({ ...rest, target: { kind: 'jti', key: tokenId } })
    },
  }
}

export const postgresRevocationPurge = (sql: Sql): RevocationPurge => ({
  dropEnded: async (beforeMs, limit) => {
    const rows = await sql.query(drop, [new Date(beforeMs), limit])
    return rows.length
  },
})
