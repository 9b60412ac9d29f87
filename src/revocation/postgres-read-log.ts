import {
  type FeedPage,
  type RevocationEntry,
  type RevocationKind,
  revocationKinds,
} from '../../packages/verifier/src/wire.ts'
import type { Database, Sql } from '../infra/postgres/database.ts'
import { storeErrors } from '../infra/postgres/store-failure.ts'
import type { Clock } from '../lib/clock.ts'
import { cursorOfSnapshot, cursorText, type FeedCursor } from './feed-cursor.ts'
import { ImpossibleRevocation } from './impossible-revocation.ts'
import { packedEntries } from './packed-entries.ts'
import type { LogChanges, LoggedEntry, ReadLog } from './revocation-log.ts'

/**
 * A follower that missed more than this takes a snapshot: that is read in batches, while these are read by one statement, which must
 * end long before its timeout.
 */
export const mostChanges = 20_000

/** Rows of a snapshot in memory at once. */
const batchRows = 5_000

/**
 * Which log this is and how far it goes, as one snapshot of Postgres sees it (`pg_current_snapshot` is that of its own statement).
 *
 * `feed_id`: the cluster, its timeline, and its last recovery from a crash. The timeline is that of the position where Postgres
 * writes now: the one in the control file stays the old one for minutes after a fail-over. A crash counts because transaction
 * numbers that were given out just before, and were not on disk yet, are given out again: an entry could come to lie before a
 * cursor. Postgres throws its statistics away after a crash, and only then, so the time they began tells one from a restart.
 *
 * A standby answers nothing: it may be behind, and a follower would believe itself complete.
 */
const log = `SELECT seen::text AS snapshot,
    CASE WHEN pg_is_in_recovery() THEN NULL ELSE
      concat_ws('-',
        (SELECT system_identifier FROM pg_control_system()),
        ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint,
        coalesce(extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time())::bigint, 0))
    END AS feed_id
  FROM pg_current_snapshot() AS seen`

/** In whole seconds, rounded up: an entry that is kept a moment too long refuses nothing that is still valid. */
const notAfter = `extract(epoch FROM date_trunc('second', not_after + interval '0.999999 s'))::bigint`

/** Written so that the index on `not_after` does not fit: nearly all rows are in it, and without statistics Postgres would take it. */
const hasNotEnded = "not_after + interval '0' > $3"

const found = `SELECT r.xid::text, kind, key, min_epoch, ${notAfter} AS not_after`

/**
 * Rows and cursor in one statement, so that both are of the same moment. A plain "seq greater than the last" would lose an entry
 * whose transaction took its number early and committed late.
 *
 * The rows that the cursor `$1`, `$2` has not seen are those of transactions that were running then, and of those that began later. That
 * is `xid >= xmin AND NOT pg_visible_in_snapshot(xid, cursor)`, asked so that the index finds them and nothing else: a transaction
 * anywhere in the cluster that runs for an hour would have every read go through all rows of that hour. Ranges in order, also for one
 * transaction, so that the index is used whatever the planner believes of a cursor that it does not know.
 */
const changes = {
  name: 'revocation_changes_since',
  text: `SELECT log.*, found.* FROM (${log}) log LEFT JOIN (
      (SELECT late.* FROM unnest($1::xid8[]) AS was_running, LATERAL (${found} FROM revocations r
        WHERE r.xid BETWEEN was_running AND was_running AND ${hasNotEnded}
        ORDER BY r.xid LIMIT ${mostChanges + 1}) late)
      UNION ALL
      (${found} FROM revocations r
        WHERE r.xid >= $2::xid8 AND ${hasNotEnded} ORDER BY r.xid LIMIT ${mostChanges + 1})
      LIMIT ${mostChanges + 1}) found ON true`,
}

const holdStill = {
  name: 'revocation_hold_still',
  text: 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY',
}

const head = { name: 'revocation_head', text: log }

/**
 * One row with a list for each column: a row for each entry would take four times as long. No text of an entry has a comma in it: kinds
 * are words, keys are base64url.
 */
const batch = {
  name: 'revocation_batch',
  text: `SELECT max(seq) AS last, string_agg(kind, ',') AS kinds, string_agg(key, ',') AS keys,
      string_agg(coalesce(min_epoch::text, ''), ',') AS min_epochs, string_agg(${notAfter}::text, ',') AS not_afters
    FROM (SELECT * FROM revocations WHERE seq > $1 AND not_after > $2 ORDER BY seq LIMIT ${batchRows}) r`,
}

type HeadRow = { snapshot: string; feed_id: string | null }

type EntryRow = { kind: string; key: string; min_epoch: number | null; not_after: number }

type BatchRow = {
  last: number
  kinds: string
  keys: string
  min_epochs: string
  not_afters: string
}

/** What aggregating nothing gives. */
type NoBatch = { last: null }

/** What a join without a match gives. */
type NoRow = { [column in keyof EntryRow | 'xid']: null }

type ChangesRow = HeadRow & ((EntryRow & { xid: string }) | NoRow)

const kindOf = (text: string): RevocationKind => {
  const kind = revocationKinds.find((known) => known === text)
  if (!kind) throw new ImpossibleRevocation(`unknown kind ${text}`)
  return kind
}

const entryOf = ({ kind, key, min_epoch: minEpoch, not_after: notAfter }: EntryRow) => ({
  kind: kindOf(kind),
  key,
  minEpoch: minEpoch ?? undefined,
  notAfter,
})

const feedIdOf = ({ feed_id: feedId }: HeadRow): string => {
  if (feedId !== null) return feedId
  const cause = new Error('connected to a standby, which may be behind')
  throw storeErrors.error('store_unavailable', { retryAfterSeconds: 1, cause })
}

const readChanges = async (
  sql: Sql,
  { running, next }: FeedCursor,
  now: Date,
): Promise<LogChanges> => {
  const found = await sql.query<ChangesRow>(changes, [running.map(String), String(next), now])
  const [first] = found
  if (!first) throw new ImpossibleRevocation('no snapshot')
  const rows: LoggedEntry[] = []
  for (const row of found) {
    if (row.xid !== null) rows.push({ xid: BigInt(row.xid), entry: entryOf(row) })
  }
  return {
    feedId: feedIdOf(first),
    cursor: cursorOfSnapshot(first.snapshot),
    rows: rows.length > mostChanges ? 'too_many' : rows,
  }
}

const entriesOf = ({ kinds, keys, min_epochs, not_afters }: BatchRow): RevocationEntry[] => {
  const [keyList, epochs, ends] = [keys.split(','), min_epochs.split(','), not_afters.split(',')]
  return kinds.split(',').map((kind, place) => {
    const [key, epoch, end] = [keyList[place], epochs[place], ends[place]]
    if (key === undefined || epoch === undefined || end === undefined) {
      throw new ImpossibleRevocation('lists of different lengths')
    }
    const minEpoch = epoch === '' ? undefined : Number(epoch)
    return { kind: kindOf(kind), key, minEpoch, notAfter: Number(end) }
  })
}

const readSnapshot = async (sql: Sql, now: Date): Promise<FeedPage> => {
  await sql.query(holdStill)
  const [state] = await sql.query<HeadRow>(head)
  if (!state) throw new ImpossibleRevocation('no snapshot')
  const { entries, add } = packedEntries()
  for (let after = 0; ; ) {
    const [found] = await sql.query<BatchRow | NoBatch>(batch, [after, now])
    if (!found || found.last === null) break
    add(entriesOf(found))
    after = found.last
  }
  return { feedId: feedIdOf(state), cursor: cursorText(cursorOfSnapshot(state.snapshot)), entries }
}

/** Reads the log as the application's role may: the functions that name it are open to everyone in PostgreSQL 15 and later. */
export const postgresReadLog = (database: Database, clock: Pick<Clock, 'nowMs'>): ReadLog => ({
  changes: (from) => readChanges(database, from, new Date(clock.nowMs())),
  snapshot: () => database.transaction((sql) => readSnapshot(sql, new Date(clock.nowMs()))),
})
