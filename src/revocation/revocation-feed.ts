import type { FeedPage } from '../../packages/verifier/src/wire.ts'
import { coalesce } from './coalesce.ts'
import { binaryOf, jsonOf } from './encode-page.ts'
import { revocationErrors } from './errors.ts'
import type { LogChanges, ReadLog } from './revocation-log.ts'
import type { WakeUps } from './wake-ups.ts'

/** An answer, and what it looks like on the wire: encoded when somebody asks, once for all who get it. */
export type SharedPage = {
  readonly page: FeedPage
  readonly json: () => Promise<Buffer>
  readonly binary: () => Promise<Buffer>
}

export type RevocationFeed = {
  /** Everything that has not ended, and the cursor to go on from. */
  readonly snapshot: () => Promise<SharedPage>
  /**
   * Every visible entry of a transaction at or after the cursor, and the cursor for the next call. An entry may come twice; none is
   * lost, however late its transaction commits. With `waitSeconds` the answer waits that long for a first entry.
   * @throws cursor_unknown for a cursor that is none of this log, or so old that a snapshot costs less; store_unavailable
   */
  readonly changes: (
    cursor: string,
    waitSeconds?: number,
    signal?: AbortSignal,
  ) => Promise<SharedPage>
}

export type RevocationFeedDeps = { readonly log: ReadLog; readonly wakeUps: WakeUps }

/**
 * Reads begin at least this far apart, so that followers who come back at once after every answer share their reads however many
 * revocations there are. Only a revocation this soon after another waits for it.
 */
const readsApartMs = 20

/** What `pg_snapshot_xmin` can give: a whole number of 64 bits, written in one way. */
const cursorForm = /^(?:0|[1-9]\d{0,19})$/
const largestCursor = 2n ** 64n - 1n

const refuse = (): never => {
  throw revocationErrors.error('cursor_unknown')
}

const parseCursor = (text: string): bigint => {
  const cursor = cursorForm.test(text) ? BigInt(text) : undefined
  return cursor === undefined || cursor > largestCursor ? refuse() : cursor
}

const shared = (page: FeedPage): SharedPage => {
  let json: Promise<Buffer> | undefined
  let binary: Promise<Buffer> | undefined
  return {
    page,
    json: () => {
      json ??= jsonOf(page)
      return json
    },
    binary: () => {
      binary ??= binaryOf(page)
      return binary
    },
  }
}

type Answers = (from: bigint) => SharedPage

/** The answers of one read: who asked from the same cursor gets the same page. */
const answersOf = ({ feedId, cursor, end, rows }: LogChanges): Answers => {
  if (rows === 'too_many') return refuse
  const pages = new Map<bigint, SharedPage>()
  return (from) => {
    if (from > end) return refuse()
    const known = pages.get(from)
    if (known) return known
    const entries = rows.filter(({ xid }) => xid >= from).map(({ entry }) => entry)
    const page = shared({ feedId, cursor: cursor.toString(), entries })
    pages.set(from, page)
    return page
  }
}

const lowest = (cursors: readonly bigint[]): bigint =>
  cursors.reduce((least, cursor) => (cursor < least ? cursor : least))

/** One read from the lowest cursor serves all; a follower that is too far behind does not send the others back with it. */
const readFor = async (log: ReadLog, cursors: readonly bigint[]): Promise<Answers> => {
  const from = lowest(cursors)
  const changes = await log.changes(from)
  const ahead = cursors.filter((cursor) => cursor > from)
  if (changes.rows !== 'too_many' || ahead.length === 0) return answersOf(changes)
  const answers = await readFor(log, ahead)
  return (cursor) => (cursor === from ? refuse() : answers(cursor))
}

/**
 * The log for many readers at once: one read answers all who asked before it began. Whoever asks while one is under way gets the
 * next: a reader counts its lease from the moment it asked, so an older reading would make it believe itself newer than it is.
 */
export const revocationFeed = ({ log, wakeUps }: RevocationFeedDeps): RevocationFeed => {
  const readChanges = coalesce((cursors: readonly bigint[]) => readFor(log, cursors), readsApartMs)
  const readSnapshot = coalesce(async () => shared(await log.snapshot()), 0)
  const changesNow = async (cursor: bigint): Promise<SharedPage> =>
    (await readChanges(cursor))(cursor)

  const changes: RevocationFeed['changes'] = async (text, waitSeconds = 0, signal) => {
    const cursor = parseCursor(text)
    const before = wakeUps.count()
    const first = await changesNow(cursor)
    if (first.page.entries.length > 0 || waitSeconds === 0) return first
    await wakeUps.after(before, waitSeconds * 1000, signal)
    // There was nothing before this cursor that is not there now, and all who waited ask from the same one.
    return signal?.aborted ? first : changesNow(BigInt(first.page.cursor))
  }
  return { changes, snapshot: () => readSnapshot(undefined) }
}
