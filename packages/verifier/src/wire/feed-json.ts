import { entryProblem, isLabel } from './entry-rules.ts'
import { FeedFormatError } from './feed-format-error.ts'
import {
  type FeedPage,
  type RevocationEntry,
  type RevocationKind,
  revocationKinds,
} from './revocation-entry.ts'

/**
 * Texts of entries are joined so many at a time: a million small parts in one list would be a
 * burden of their own.
 */
const joinAtOnce = 4096

/**
 * No text of an entry needs escaping: kinds are words, keys are base64url, the rest is numbers, and
 * `entryProblem` has seen to it.
 */
const entryText = (entry: RevocationEntry): string => {
  const problem = entryProblem(entry)
  if (problem !== undefined) throw new TypeError(`cannot encode a revocation: ${problem}`)
  const epoch = entry.minEpoch === undefined ? '' : `,"min_epoch":${entry.minEpoch}`
  return `{"kind":"${entry.kind}","key":"${entry.key}"${epoch},"not_after":${entry.notAfter}}`
}

/**
 * Writes a page as JSON, without whitespace:
 * `{"feed_id":"…","cursor":"…","entries":[{"kind":"sub","key":"…","min_epoch":4,"not_after":1767225600}]}`.
 *
 * Throws a TypeError for a page that no reader would accept.
 */
export const encodeFeedJson = ({ feedId, cursor, entries }: FeedPage): string => {
  if (!isLabel(feedId) || !isLabel(cursor)) {
    throw new TypeError('a feed id and a cursor are 1 to 255 visible ASCII characters')
  }
  const parts: string[] = []
  let pending: string[] = []
  for (const entry of entries) {
    pending.push(entryText(entry))
    if (pending.length === joinAtOnce) {
      parts.push(pending.join(','))
      pending = []
    }
  }
  if (pending.length > 0) parts.push(pending.join(','))
  const head = `{"feed_id":${JSON.stringify(feedId)},"cursor":${JSON.stringify(cursor)}`
  return `${head},"entries":[${parts.join(',')}]}`
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * A member that this version does not know could change the meaning of those it knows, so it is
 * refused.
 */
const hasOnly = (record: Record<string, unknown>, names: readonly string[]): boolean =>
  Object.keys(record).every((name) => names.includes(name))

/** Exactly one of the known words: no prototype of an object is asked. */
const isKind = (value: unknown): value is RevocationKind =>
  revocationKinds.some((kind) => kind === value)

const entryMembers = ['kind', 'key', 'min_epoch', 'not_after']

/** The entry, or what is wrong with it. */
const readEntry = (value: unknown): RevocationEntry | string => {
  if (!isRecord(value) || !hasOnly(value, entryMembers)) return 'not an entry'
  const { kind, key, min_epoch: minEpoch, not_after: notAfter } = value
  if (!isKind(kind)) return 'unknown kind'
  if (typeof key !== 'string') return 'no key'
  if (typeof notAfter !== 'number') return 'no not_after'
  if (minEpoch !== undefined && typeof minEpoch !== 'number') return 'min_epoch is not a number'
  const entry = { kind, key, minEpoch, notAfter }
  return entryProblem(entry) ?? entry
}

/** `JSON.parse`, with its error as ours, so that callers have one kind to look for. */
const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new FeedFormatError('the page is not JSON', { cause })
  }
}

/**
 * Reads a page from JSON: all of it, or a `FeedFormatError`. An unknown kind is an error too: a
 * replica that skipped what it does not understand would call itself complete without being it.
 */
export const decodeFeedJson = (text: string): FeedPage => {
  const page = parse(text)
  if (!isRecord(page) || !hasOnly(page, ['feed_id', 'cursor', 'entries'])) {
    throw new FeedFormatError('not a page of the feed')
  }
  const { feed_id: feedId, cursor, entries } = page
  if (!isLabel(feedId)) throw new FeedFormatError('the page has no feed_id')
  if (!isLabel(cursor)) throw new FeedFormatError('the page has no cursor')
  if (!Array.isArray(entries)) throw new FeedFormatError('the page has no entries')
  return {
    feedId,
    cursor,
    entries: entries.map((value: unknown, place) => {
      const entry = readEntry(value)
      if (typeof entry === 'string') throw new FeedFormatError(`entry ${place}: ${entry}`)
      return entry
    }),
  }
}
