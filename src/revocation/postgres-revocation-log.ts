import type { Sql } from '../infra/postgres/database.ts'
import type { Clock } from '../lib/clock.ts'
import type { NewRevocation, Revocation, RevocationTarget } from './revocation.ts'
import type { RevocationFeed, RevocationLog, RevocationPurge } from './revocation-log.ts'

const insert = {
  name: 'revocation_insert',
  text: `INSERT INTO revocations (kind, key, min_epoch, not_after, actor, reason, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING seq`,
}

/**
 * A plain "seq greater than the last" would lose an entry whose transaction took its number early and committed late: everything
 * of a transaction that was not finished when the cursor was taken is delivered again.
 */
const visible = {
  name: 'revocation_visible',
  text: `SELECT kind, key, min_epoch, not_after FROM revocations
         WHERE xid >= $1::xid8 AND not_after > $2 ORDER BY seq`,
}

/** Read before the entries, so that it can only be too low. */
const nextCursor = {
  name: 'revocation_cursor',
  text: 'SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS cursor',
}

/**
 * Not FOR UPDATE SKIP LOCKED: that asks for the privilege to change entries, which the application must not have. Of two instances
 * that choose the same rows one waits for the other and finds them gone.
 */
const drop = {
  name: 'revocation_drop',
  text: `DELETE FROM revocations WHERE seq IN
           (SELECT seq FROM revocations WHERE not_after < $1 ORDER BY not_after LIMIT $2)
         RETURNING seq`,
}

type Row = { kind: string; key: string; min_epoch: number | null; not_after: Date }

/** A row that no version of this code can have written. */
class ImpossibleRevocation extends Error {
  override readonly name = 'ImpossibleRevocation'
}

const targetOf = ({ kind, key, min_epoch: minEpoch }: Row): RevocationTarget => {
  if (kind === 'jti' || kind === 'sid') return { kind, key }
  if (minEpoch === null) throw new ImpossibleRevocation(`${kind} without an epoch`)
  if (kind === 'sub' || kind === 'claims') return { kind, key, minEpoch }
  if (kind === 'everyone') return { kind, key: '', minEpoch }
  throw new ImpossibleRevocation(`unknown kind ${kind}`)
}

const fromRow = (row: Row): Revocation => ({
  target: targetOf(row),
  notAfterMs: row.not_after.getTime(),
})

export const postgresRevocationLog = (
  sql: Sql,
  clock: Clock,
  lifetimeMs: number,
  onAppend: (revocation: Revocation) => void,
): RevocationLog => ({
  append: async ({ target, actor, reason }: NewRevocation) => {
    const nowMs = clock.nowMs()
    const notAfterMs = nowMs + lifetimeMs
    const minEpoch = 'minEpoch' in target ? target.minEpoch : undefined
    const rows = await sql.query<{ seq: number }>(insert, [
      target.kind,
      target.key,
      minEpoch,
      new Date(notAfterMs),
      actor,
      reason,
      new Date(nowMs),
    ])
    const [row] = rows
    if (!row) throw new ImpossibleRevocation('an insert without a row')
    onAppend({ target, notAfterMs })
    return row.seq
  },
})

export const postgresRevocationFeed = (sql: Sql, clock: Clock): RevocationFeed => ({
  since: async (cursor) => {
    const [next] = await sql.query<{ cursor: string }>(nextCursor)
    if (!next) throw new ImpossibleRevocation('no snapshot')
    const rows = await sql.query<Row>(visible, [cursor ?? '0', new Date(clock.nowMs())])
    return { entries: rows.map(fromRow), cursor: next.cursor }
  },
})

export const postgresRevocationPurge = (sql: Sql): RevocationPurge => ({
  dropEnded: async (beforeMs, limit) => {
    const rows = await sql.query(drop, [new Date(beforeMs), limit])
    return rows.length
  },
})
