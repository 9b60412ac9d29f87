import type { FeedPage } from '../../packages/verifier/src/wire.ts'
import { coalesce } from './coalesce.ts'
import { binaryOf, jsonOf } from './encode-page.ts'
import { revocationErrors } from './errors.ts'
import { commonCursor, cursorText, type FeedCursor, hasSeen, parseCursor } from './feed-cursor.ts'
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
   * Every visible entry that the cursor has not seen, and the cursor for the next call. An entry may come twice; none is lost, however
   * late its transaction commits. With `waitSeconds` the answer waits that long for a first entry.
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

const refuse = (): never => {
  throw revocationErrors.error('cursor_unknown')
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

type Answers = (from: FeedCursor) => SharedPage

/** The answers of one read: who asked from the same cursor gets the same page. */
const answersOf = ({ feedId, cursor, rows }: LogChanges): Answers => {
  if (rows === 'too_many') return refuse
  const pages = new Map<string, SharedPage>()
  return (from) => {
    // Given out by another log.
    if (from.next > cursor.next) return refuse()
    const name = cursorText(from)
    const known = pages.get(name)
    if (known) return known
    const entries = rows.filter(({ xid }) => !hasSeen(from, xid)).map(({ entry }) => entry)
    const page = shared({ feedId, cursor: cursorText(cursor), entries })
    pages.set(name, page)
    return page
  }
}

/**
 * One read serves all cursors. When it finds more than an answer may hold, each half is read for itself: a follower that is too far
 * behind, or a made-up cursor, does not send the others back with it.
 */
const readFor = async (log: ReadLog, cursors: readonly FeedCursor[]): Promise<Answers> => {
  const changes = await log.changes(commonCursor(cursors))
  if (changes.rows !== 'too_many' || cursors.length === 1) return answersOf(changes)
  const half = Math.ceil(cursors.length / 2)
  const behind = new Set(cursors.slice(0, half).map(cursorText))
  const [answersBehind, answersAhead] = [
    await readFor(log, cursors.slice(0, half)),
    await readFor(log, cursors.slice(half)),
  ]
  return (from) => (behind.has(cursorText(from)) ? answersBehind(from) : answersAhead(from))
}

/** Each once, those that are furthest behind first. */
const distinct = (cursors: readonly FeedCursor[]): FeedCursor[] =>
  [...new Map(cursors.map((cursor) => [cursorText(cursor), cursor])).values()].sort((a, b) =>
    a.next < b.next ? -1 : 1,
  )

/**
 * The log for many readers at once: one read answers all who asked before it began. Whoever asks while one is under way gets the
 * next: a reader counts its lease from the moment it asked, so an older reading would make it believe itself newer than it is.
 */
export const revocationFeed = ({ log, wakeUps }: RevocationFeedDeps): RevocationFeed => {
  const readChanges = coalesce(
    (cursors: readonly FeedCursor[]) => readFor(log, distinct(cursors)),
    readsApartMs,
  )
  const readSnapshot = coalesce(async () => shared(await log.snapshot()), 0)
  const changesNow = async (cursor: FeedCursor): Promise<SharedPage> =>
    (await readChanges(cursor))(cursor)

  const changes: RevocationFeed['changes'] = async (text, waitSeconds = 0, signal) => {
    const cursor = parseCursor(text) ?? refuse()
    const before = wakeUps.count()
    const first = await changesNow(cursor)
    if (first.page.entries.length > 0 || waitSeconds === 0) return first
    await wakeUps.after(before, waitSeconds * 1000, signal)
    // There was nothing before this cursor that is not there now, and all who waited ask from the same one.
    return signal?.aborted ? first : changesNow(parseCursor(first.page.cursor) ?? refuse())
  }
  return { changes, snapshot: () => readSnapshot(undefined) }
}
