import {
  decodeFeedBinary,
  encodeFeedBinary,
  entryProblem,
  type FeedPage,
  type RevocationEntries,
  type RevocationEntry,
  type RevocationKind,
  revocationKinds,
} from '../../packages/verifier/src/wire.ts'
import type { Database, Sql, Statement } from '../infra/postgres/database.ts'
import { isWithheld, unfitIfWithheld } from '../infra/postgres/session-settings.ts'
import { storeErrors } from '../infra/postgres/store-failure.ts'
import type { Clock } from '../lib/machine.ts'
import { cursorOfSnapshot, cursorText, type FeedCursor } from './feed-cursor.ts'
import { ImpossibleRevocation } from './revocation.ts'
import type { LogChanges, LoggedEntry, ReadLog } from './revocation-log.ts'

/** Entries in packed form, about 20 bytes each. Objects exist only while they are read. */
export type PackedEntries = {
  readonly add: (entries: readonly RevocationEntry[]) => void
  readonly entries: RevocationEntries
}

export const packedEntries = (): PackedEntries => {
  const parts: RevocationEntries[] = []
  return {
    add: (entries) => {
      const bytes = encodeFeedBinary({ feedId: 'part', cursor: '0', entries })
      parts.push(decodeFeedBinary(bytes).entries)
    },
    entries: {
      get length() {
        return parts.reduce((sum, part) => sum + part.length, 0)
      },
      *[Symbol.iterator]() {
        for (const part of parts) yield* part
      },
    },
  }
}

/**
 * A follower that missed more than this takes a snapshot instead. Snapshots are read in batches, but changes in one statement, which must
 * end long before its timeout.
 */
export const maxChanges = 20_000

/** Rows of a snapshot in memory at once. */
const batchRows = 5_000

/** Postgres resets its statistics after a crash only, so their start time distinguishes a crash from a restart. */
const lastCrash = 'coalesce(extract(epoch FROM pg_stat_get_bgwriter_stat_reset_time())::bigint, 0)'

/**
 * Identifies the log: the cluster, its timeline and its last crash recovery. The timeline is that of the current write position, because
 * the one in the control file stays the old one for minutes after a fail-over. A crash starts a new log because the last transaction
 * numbers, if they were not on disk, are assigned again, and an entry could then have a number before a cursor.
 */
const byTimeline = `concat_ws('-',
  (SELECT system_identifier FROM pg_control_system()),
  ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint,
  ${lastCrash})`

/**
 * The start time of the server, for a managed Postgres that lacks these functions (Aurora has no write-ahead log of its own). Another
 * server has another time. A plain restart changes it as well, which only costs each follower a snapshot.
 */
const byStart = `concat_ws('-', 'start',
  (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, ${lastCrash})`

/**
 * The log and its end, from one snapshot of Postgres (`pg_current_snapshot` is that of its own statement). A standby returns nothing: it
 * may be behind, and a follower would wrongly consider itself complete.
 */
const logNamed = (feedId: string) => `SELECT seen::text AS snapshot,
    CASE WHEN pg_is_in_recovery() THEN NULL ELSE ${feedId} END AS feed_id
  FROM pg_current_snapshot() AS seen`

/** The limits of the feed format: 53 bits for an epoch, 32 for a time. */
const lastEpoch = '9007199254740991'
const lastTime = "timestamptz '2106-02-07T06:28:15Z'"

/**
 * In whole seconds, rounded up: an entry that is kept a moment too long refuses nothing that is still valid. Larger values become the last
 * one, which covers as much.
 */
const notAfter = `extract(epoch FROM
    date_trunc('second', least(not_after, ${lastTime}) + interval '0.999999 s'))::bigint`

const minEpoch = `greatest(0, least(min_epoch, ${lastEpoch}))`

const isBeyondTheForm = `(min_epoch < 0 OR min_epoch > ${lastEpoch} OR not_after > ${lastTime})`

/** A valid key contains no comma, so keys can be joined by commas. A key with a comma is malformed, and stays malformed without it. */
const plainKey = "translate(key, ',', ' ')"

/** Written so that the index on `not_after` is not used. Nearly all rows are in range, but without statistics Postgres would choose it. */
const hasNotEnded = "not_after + interval '0' > least($3, now())"

const found = `SELECT r.xid::text, kind, ${plainKey} AS key, CASE WHEN min_epoch IS NOT NULL THEN ${minEpoch} END AS min_epoch,
    ${notAfter} AS not_after, coalesce(${isBeyondTheForm}, false) AS is_odd`

/**
 * Rows and cursor come from one statement, so both belong to the same moment. A simple "seq greater than the last" would lose an entry
 * whose transaction took its number early and committed late.
 *
 * The rows that cursor `$1`, `$2` has not seen belong to transactions that were running then or began later. That is `xid >= xmin AND NOT
 * pg_visible_in_snapshot(xid, cursor)`, written so that the index finds exactly these rows. Otherwise a transaction anywhere in the cluster
 * that runs for an hour would make every read scan all rows of that hour. The ranges are ordered, even for one transaction, so that the
 * planner uses the index for any cursor.
 */
const changesIn = (log: string) => `SELECT log.*, found.* FROM (${log}) log LEFT JOIN (
      (SELECT late.* FROM unnest($1::xid8[]) AS was_running, LATERAL (${found} FROM revocations r
        WHERE r.xid BETWEEN was_running AND was_running AND ${hasNotEnded}
        ORDER BY r.xid LIMIT ${maxChanges + 1}) late)
      UNION ALL
      (${found} FROM revocations r
        WHERE r.xid >= $2::xid8 AND ${hasNotEnded} ORDER BY r.xid LIMIT ${maxChanges + 1})
      LIMIT ${maxChanges + 1}) found ON true`

type Statements = { readonly changes: Statement; readonly head: Statement }

const statementsNaming = (suffix: string, feedId: string): Statements => {
  const log = logNamed(feedId)
  return {
    changes: { name: `revocation_changes_since${suffix}`, text: changesIn(log) },
    head: { name: `revocation_head${suffix}`, text: log },
  }
}

const namedByTimeline = statementsNaming('', byTimeline)
const namedByStart = statementsNaming('_by_start', byStart)

const holdStill = {
  name: 'revocation_hold_still',
  text: 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY',
}

/** One row with a list for each column. A row for each entry would take four times as long. */
const batch = {
  name: 'revocation_batch',
  text: `SELECT max(seq) AS last, string_agg(kind, ',') AS kinds, string_agg(${plainKey}, ',') AS keys,
      string_agg(CASE WHEN min_epoch IS NULL THEN '' ELSE ${minEpoch}::text END, ',') AS min_epochs,
      string_agg(${notAfter}::text, ',') AS not_afters,
      string_agg(kind || ' ' || ${plainKey}, ',') FILTER (WHERE ${isBeyondTheForm}) AS odd
    FROM (SELECT * FROM revocations WHERE seq > $1 AND not_after > least($2, now()) ORDER BY seq LIMIT ${batchRows}) r`,
}

type HeadRow = { snapshot: string; feed_id: string | null }

type EntryRow = {
  kind: string
  key: string
  min_epoch: number | null
  not_after: number
  is_odd: boolean
}

type BatchRow = {
  last: number
  kinds: string
  keys: string
  min_epochs: string
  not_afters: string
  odd: string | null
}

/** The result of an aggregate over no rows. */
type NoBatch = { last: null }

/** The result of a join without a match. */
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

/**
 * The entry to publish for a row. Undefined for an invalid key: no token has such an id, so the row revokes nothing. `everyone` needs no
 * key, so any key is accepted.
 */
const meantBy = (entry: RevocationEntry): RevocationEntry | undefined => {
  if (entryProblem(entry) === undefined) return entry
  return entry.kind === 'everyone' ? { ...entry, key: '' } : undefined
}

type Reading = {
  readonly now: Date
  /** Called with rows that cannot be published unchanged: the kind and the key of each. */
  readonly onMalformed: (rows: readonly string[]) => void
}

const feedIdOf = ({ feed_id: feedId }: HeadRow): string => {
  if (feedId !== null) return feedId
  const cause = new Error('connected to a standby, which may be behind')
  throw storeErrors.error('store_unavailable', { retryAfterSeconds: 1, cause })
}

const readChanges = async (
  sql: Sql,
  { changes }: Statements,
  { running, next }: FeedCursor,
  { now, onMalformed }: Reading,
): Promise<LogChanges> => {
  const found = await sql.query<ChangesRow>(changes, [running.map(String), String(next), now])
  const [first] = found
  if (!first) throw new ImpossibleRevocation('no snapshot')
  const base = { feedId: feedIdOf(first), cursor: cursorOfSnapshot(first.snapshot) }
  if (found.length > maxChanges) return { ...base, rows: 'too_many' }
  const rows: LoggedEntry[] = []
  const malformed = new Set<string>()
  for (const row of found) {
    if (row.xid === null) continue
    const entry = meantBy(entryOf(row))
    if (entry) rows.push({ xid: BigInt(row.xid), entry })
    if (row.is_odd || entry?.key !== row.key) malformed.add(`${row.kind} ${row.key}`)
  }
  if (malformed.size > 0) onMalformed([...malformed])
  return { ...base, rows }
}

function* rowsOf({ kinds, keys, min_epochs, not_afters }: BatchRow): Generator<RevocationEntry> {
  const [keyList, epochs, ends] = [keys.split(','), min_epochs.split(','), not_afters.split(',')]
  for (const [place, kind] of kinds.split(',').entries()) {
    const [key, epoch, end] = [keyList[place], epochs[place], ends[place]]
    if (key === undefined || epoch === undefined || end === undefined) {
      throw new ImpossibleRevocation('lists of different lengths')
    }
    const minEpoch = epoch === '' ? undefined : Number(epoch)
    yield { kind: kindOf(kind), key, minEpoch, notAfter: Number(end) }
  }
}

const readBatch = (found: BatchRow, onMalformed: Reading['onMalformed']): RevocationEntry[] => {
  const malformed = new Set(found.odd?.split(','))
  const entries: RevocationEntry[] = []
  for (const row of rowsOf(found)) {
    const entry = meantBy(row)
    if (entry) entries.push(entry)
    if (entry !== row) malformed.add(`${row.kind} ${row.key}`)
  }
  if (malformed.size > 0) onMalformed([...malformed])
  return entries
}

const readHead = async (sql: Sql, { head }: Statements): Promise<HeadRow> => {
  const [state] = await sql.query<HeadRow>(head)
  if (!state) throw new ImpossibleRevocation('no snapshot')
  return state
}

const readSnapshot = async (
  sql: Sql,
  statements: Statements,
  { now, onMalformed }: Reading,
): Promise<FeedPage> => {
  await sql.query(holdStill)
  const state = await readHead(sql, statements)
  const { entries, add } = packedEntries()
  for (let after = 0; ; ) {
    const [found] = await sql.query<BatchRow | NoBatch>(batch, [after, now])
    if (!found || found.last === null) break
    add(readBatch(found, onMalformed))
    after = found.last
  }
  return { feedId: feedIdOf(state), cursor: cursorText(cursorOfSnapshot(state.snapshot)), entries }
}

/** The number of remembered rows, so that each is reported once. */
const maxNames = 1_000

const oncePerRow = (report: Reading['onMalformed']): Reading['onMalformed'] => {
  const reported = new Set<string>()
  return (rows) => {
    const news = rows.filter((row) => !reported.has(row))
    if (reported.size > maxNames) reported.clear()
    for (const row of news) reported.add(row)
    if (news.length > 0) report(news)
  }
}

export type PostgresReadLog = ReadLog & {
  /**
   * Returns the name of the log, as every read does.
   * @throws UnfitDatabase when Postgres lacks a function that reads need; store_unavailable
   */
  readonly identify: () => Promise<string>
}

/**
 * Reads the log with the application's role. The functions that identify the log are open to everyone in PostgreSQL 15 and later. A
 * malformed row does not block the others; it is reported once.
 */
export const postgresReadLog = (
  database: Database,
  clock: Pick<Clock, 'nowMs'>,
  report: Reading['onMalformed'],
): PostgresReadLog => {
  const onMalformed = oncePerRow(report)
  const reading = (): Reading => ({ now: new Date(clock.nowMs()), onMalformed })
  let statements = namedByTimeline

  /** The first read finds out which functions this Postgres lacks. A standby or an unreachable server leaves it open. */
  const read = async <Found>(act: (statements: Statements) => Promise<Found>): Promise<Found> => {
    try {
      return await act(statements)
    } catch (error) {
      if (statements !== namedByTimeline || !isWithheld(error)) throw error
      const found = await act(namedByStart)
      statements = namedByStart
      return found
    }
  }
  return {
    changes: (from) => read((by) => readChanges(database, by, from, reading())),
    snapshot: () => read((by) => database.transaction((sql) => readSnapshot(sql, by, reading()))),
    identify: async () => {
      try {
        return feedIdOf(await read((by) => readHead(database, by)))
      } catch (error) {
        throw unfitIfWithheld(error)
      }
    },
  }
}
