import { entryProblem, isLabel } from './entry-rules.ts'
import { FeedFormatError } from './feed-format-error.ts'
import {
  type FeedPage,
  type RevocationEntry,
  type RevocationKind,
  revocationKinds,
} from './revocation-entry.ts'

/** Texts of entries are joined in batches of this size: a list with a million small parts would take too much memory. */
const joinAtOnce = 4096

/** No text of an entry needs escaping: kinds are words, keys are base64url, the rest is numbers. `entryProblem` has checked this. */
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

/** An unknown member could change the meaning of the known ones, so it is refused. */
const hasOnly = (record: Record<string, unknown>, names: readonly string[]): boolean =>
  Object.keys(record).every((name) => names.includes(name))

/** Compared with the list, so that no object prototype is involved. */
const isKind = (value: unknown): value is RevocationKind =>
  revocationKinds.some((kind) => kind === value)

const entryMembers = ['kind', 'key', 'min_epoch', 'not_after']

/** The entry, or the problem with it. */
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

/** `JSON.parse` with our error, so that callers handle one type. */
const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new FeedFormatError('the page is not JSON', { cause })
  }
}

/**
 * Reads a page from JSON completely, or throws a `FeedFormatError`. An unknown kind is an error too: a replica that skipped it would
 * wrongly consider itself complete.
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
