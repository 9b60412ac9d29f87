import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
import {
  encodeFeedBinary,
  encodeFeedJson,
  type FeedPage,
  type RevocationEntry,
} from '../../packages/verifier/src/wire.ts'
import { defineErrors } from '../lib/app-error.ts'
import { commonCursor, cursorText, type FeedCursor, hasSeen, parseCursor } from './feed-cursor.ts'
import type { LogChanges, ReadLog } from './revocation-log.ts'

/**
 * Lets one run of `work` answer everyone who asked before it began; one run at a time. A question that comes while a run is under
 * way is part of the next, so no answer is older than its question.
 * Unlike `shareNextRead`, it hands the questions to the run, and lets those of one turn of the event loop share the first run.
 * @param apartMs the least time from the beginning of a run to that of the next, milliseconds
 */
const coalesce = <Question, Answer>(
  work: (questions: readonly Question[]) => Promise<Answer>,
  apartMs: number,
): ((question: Question) => Promise<Answer>) => {
  type Round = { readonly questions: Question[]; readonly answer: Promise<Answer> }
  let gathering: Round | undefined
  let free: Promise<unknown> = Promise.resolve()

  const open = (question: Question): Round => {
    const questions = [question]
    const previous = free
    let apart: Promise<unknown> | undefined
    const run = async (): Promise<Answer> => {
      await previous
      // Many sockets become readable in one turn of the event loop: whoever asks in this one comes along.
      await nextTurn()
      gathering = undefined
      apart = pause(apartMs, undefined, { ref: false })
      return work(questions)
    }
    const answer = run()
    free = answer.then(
      () => apart,
      () => apart,
    )
    return { questions, answer }
  }

  return function askTogether(question) {
    if (gathering) gathering.questions.push(question)
    else gathering = open(question)
    return gathering.answer
  }
}

/** So many take some milliseconds: a page of a million, encoded at once, would keep everyone else waiting for a second. */
const sliceEntries = 5_000

function* slicesOf({ entries }: FeedPage): Generator<RevocationEntry[]> {
  let slice: RevocationEntry[] = []
  for (const entry of entries) {
    slice.push(entry)
    if (slice.length < sliceEntries) continue
    yield slice
    slice = []
  }
  if (slice.length > 0) yield slice
}

/** What each slice of a page looks like in the form of `encode`, between `head` bytes before and `tail` bytes behind the entries. */
const encodeSlices = async (
  page: FeedPage,
  encode: (page: FeedPage) => Uint8Array,
  { head, tail }: { head: number; tail: number },
): Promise<Uint8Array[]> => {
  const parts: Uint8Array[] = []
  for (const entries of slicesOf(page)) {
    const bytes = encode({ ...page, entries })
    parts.push(bytes.subarray(head, bytes.length - tail))
    await nextTurn()
  }
  return parts
}

const bytesOfJson = (page: FeedPage): Uint8Array => Buffer.from(encodeFeedJson(page))

/** The same bytes as `encodeFeedJson`, with pauses for others. */
export const jsonOf = async (page: FeedPage): Promise<Buffer> => {
  // A page without entries ends in "[]}": entries come before the last two characters, with commas between them.
  const empty = bytesOfJson({ ...page, entries: [] })
  const tail = 2
  const head = empty.length - tail
  const parts = await encodeSlices(page, bytesOfJson, { head, tail })
  const comma = Buffer.from(',')
  const list = parts.flatMap((part, place) => (place === 0 ? [part] : [comma, part]))
  return Buffer.concat([empty.subarray(0, head), ...list, empty.subarray(head)])
}

/** The same bytes as `encodeFeedBinary`, with pauses for others. */
export const binaryOf = async (page: FeedPage): Promise<Buffer> => {
  // Their number is the last before the entries, in 4 bytes.
  const empty = Buffer.from(encodeFeedBinary({ ...page, entries: [] }))
  const parts = await encodeSlices(page, encodeFeedBinary, { head: empty.length, tail: 0 })
  empty.writeUInt32BE(page.entries.length, empty.length - 4)
  return Buffer.concat([empty, ...parts])
}

export const revocationErrors = defineErrors({
  // 410 and not 404: the address is right, what the cursor stood for is gone. A follower starts over with a snapshot.
  cursor_unknown: {
    status: 410,
    title: 'The log of revocations cannot be continued from this cursor. Take a snapshot.',
  },
})

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

/** Tells those who wait for something new that there may be. Nobody relies on it: who is not told looks again later anyway. */
export type LongPollNotifier = {
  readonly wake: () => void
  /** How often there was a wake-up so far: what to hand to `after`, noted before looking. */
  readonly count: () => number
  /** Resolves at the first wake-up after that count, at once when it has been; after `ms` milliseconds at the latest. Never rejects. */
  readonly after: (count: number, ms: number, signal?: AbortSignal) => Promise<void>
  /** Lets everyone go who waits, and nobody wait any more: the process is about to end. */
  readonly close: () => void
}

export const longPollNotifier = (): LongPollNotifier => {
  let count = 0
  let isClosed = false
  const waiting = new Set<() => void>()
  const letGo = (): void => {
    for (const go of [...waiting]) go()
  }
  return {
    wake: () => {
      count += 1
      letGo()
    },
    count: () => count,
    after: (since, ms, signal) =>
      new Promise((resolve) => {
        if (isClosed || since !== count || signal?.aborted) return resolve()
        const go = (): void => {
          clearTimeout(timer)
          waiting.delete(go)
          signal?.removeEventListener('abort', go)
          resolve()
        }
        const timer = setTimeout(go, ms).unref()
        waiting.add(go)
        signal?.addEventListener('abort', go, { once: true })
      }),
    close: () => {
      isClosed = true
      letGo()
    },
  }
}

export type RevocationFeedDeps = { readonly log: ReadLog; readonly wakeUps: LongPollNotifier }

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
  return function pageFrom(from) {
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
  return function pageFrom(from) {
    return behind.has(cursorText(from)) ? answersBehind(from) : answersAhead(from)
  }
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
