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
 * Lets one run of `work` serve every call that came before it began; one run at a time. A call during a run is served by the next, so no
 * result is older than its call. Unlike `shareNextRead` it passes the arguments to the run, and calls of one turn of the event loop share
 * the first run.
 * @param apartMs the minimum time between the starts of two runs, milliseconds
 */
const coalesce = <Input, Result>(
  work: (requests: readonly Input[]) => Promise<Result>,
  apartMs: number,
): ((request: Input) => Promise<Result>) => {
  type Round = { readonly requests: Input[]; readonly result: Promise<Result> }
  let gathering: Round | undefined
  let free: Promise<unknown> = Promise.resolve()

  const open = (request: Input): Round => {
    const requests = [request]
    const previous = free
    let apart: Promise<unknown> | undefined
    const run = async (): Promise<Result> => {
      await previous
      // Many sockets become readable in one turn of the event loop. Calls of this turn join the run.
      await nextTurn()
      gathering = undefined
      apart = pause(apartMs, undefined, { ref: false })
      return work(requests)
    }
    const result = run()
    free = result.then(
      () => apart,
      () => apart,
    )
    return { requests, result }
  }

  return function askTogether(request) {
    if (gathering) gathering.requests.push(request)
    else gathering = open(request)
    return gathering.result
  }
}

/** This many take some milliseconds. A page of a million, encoded at once, would block all other work for a second. */
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

/** Encodes a page in slices with `encode`. An encoded slice has `head` bytes before and `tail` bytes after its entries. */
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

/** The same bytes as `encodeFeedJson`, with pauses for other work. */
export const jsonOf = async (page: FeedPage): Promise<Buffer> => {
  // A page without entries ends in "[]}". The entries go before the last two characters, separated by commas.
  const empty = bytesOfJson({ ...page, entries: [] })
  const tail = 2
  const head = empty.length - tail
  const parts = await encodeSlices(page, bytesOfJson, { head, tail })
  const comma = Buffer.from(',')
  const list = parts.flatMap((part, place) => (place === 0 ? [part] : [comma, part]))
  return Buffer.concat([empty.subarray(0, head), ...list, empty.subarray(head)])
}

/** The same bytes as `encodeFeedBinary`, with pauses for other work. */
export const binaryOf = async (page: FeedPage): Promise<Buffer> => {
  // The number of entries is in the 4 bytes before them.
  const empty = Buffer.from(encodeFeedBinary({ ...page, entries: [] }))
  const parts = await encodeSlices(page, encodeFeedBinary, { head: empty.length, tail: 0 })
  empty.writeUInt32BE(page.entries.length, empty.length - 4)
  return Buffer.concat([empty, ...parts])
}

export const revocationErrors = defineErrors({
  // 410 and not 404: the address is correct, but the cursor is no longer valid. A follower starts over with a snapshot.
  cursor_unknown: {
    status: 410,
    title: 'The revocation log cannot be continued from this cursor. Take a snapshot.',
  },
})

/** A page with its encoded forms. Each is encoded on first use and shared by all responses. */
export type SharedPage = {
  readonly page: FeedPage
  readonly json: () => Promise<Buffer>
  readonly binary: () => Promise<Buffer>
}

export type RevocationFeed = {
  /** Everything that has not ended, and the cursor to continue from. */
  readonly snapshot: () => Promise<SharedPage>
  /**
   * Every visible entry that the cursor has not seen, and the next cursor. An entry may come twice, but none is lost, however late its
   * transaction commits. With `waitSeconds` it waits that long for a first entry.
   * @throws cursor_unknown for a cursor of another log, or one so old that a snapshot costs less; store_unavailable
   */
  readonly changes: (
    cursor: string,
    waitSeconds?: number,
    signal?: AbortSignal,
  ) => Promise<SharedPage>
}

/** Wakes waiting long polls when there may be something new. A missed wake-up does no harm, because they look again anyway. */
export type LongPollNotifier = {
  readonly wake: () => void
  /** The number of wake-ups so far. Read it before looking, and pass it to `after`. */
  readonly count: () => number
  /** Resolves at the first wake-up after that count (at once if it has happened), or after `ms` milliseconds. Never rejects. */
  readonly after: (count: number, ms: number, signal?: AbortSignal) => Promise<void>
  /** Releases all waiting callers and lets no more wait, because the process is about to end. */
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
 * The minimum time between reads, so that followers who poll again after every response share their reads, however many revocations there
 * are. Only a revocation this soon after another is delayed.
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

type PageOf = (from: FeedCursor) => SharedPage

/** The pages of one read. Followers with the same cursor get the same page. */
const pagesOf = ({ feedId, cursor, rows }: LogChanges): PageOf => {
  if (rows === 'too_many') return refuse
  const pages = new Map<string, SharedPage>()
  return function pageFrom(from) {
    // Issued by another log.
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
 * One read serves all cursors. If it finds more than a page may hold, each half is read separately, so that a follower that is too far
 * behind, or a forged cursor, does not force the others to start over.
 */
const readFor = async (log: ReadLog, cursors: readonly FeedCursor[]): Promise<PageOf> => {
  const changes = await log.changes(commonCursor(cursors))
  if (changes.rows !== 'too_many' || cursors.length === 1) return pagesOf(changes)
  const half = Math.ceil(cursors.length / 2)
  const behind = new Set(cursors.slice(0, half).map(cursorText))
  const [pageBehind, pageAhead] = [
    await readFor(log, cursors.slice(0, half)),
    await readFor(log, cursors.slice(half)),
  ]
  return function pageFrom(from) {
    return behind.has(cursorText(from)) ? pageBehind(from) : pageAhead(from)
  }
}

/** The distinct cursors, those furthest behind first. */
const distinct = (cursors: readonly FeedCursor[]): FeedCursor[] =>
  [...new Map(cursors.map((cursor) => [cursorText(cursor), cursor])).values()].sort((a, b) =>
    a.next < b.next ? -1 : 1,
  )

/**
 * The log for many readers: one read serves all who asked before it began. A request during a read gets the next one, because a reader
 * counts its lease from its request. An older result would make it believe that it is newer than it is.
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
    // Nothing before this cursor has been added since, and all waiting followers continue from the same one.
    return signal?.aborted ? first : changesNow(parseCursor(first.page.cursor) ?? refuse())
  }
  return { changes, snapshot: () => readSnapshot(undefined) }
}
