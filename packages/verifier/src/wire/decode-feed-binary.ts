import { entryBytes, epochBytes, keyAt, labelsAt, magic, twoTo32, version } from './binary-form.ts'
import { hasEpoch, isLabel } from './entry-rules.ts'
import { FeedFormatError } from './feed-format-error.ts'
import {
  type FeedPage,
  type RevocationEntries,
  type RevocationEntry,
  type RevocationKind,
  revocationKinds,
} from './revocation-entry.ts'

/** The offsets of the parts of an entry of this kind. */
type Layout = {
  readonly kind: RevocationKind
  readonly byteCount: number
  readonly keyEnd: number
  readonly hasEpoch: boolean
}

const layoutOf = (kind: RevocationKind): Layout => {
  const byteCount = entryBytes(kind)
  const ownsEpoch = hasEpoch(kind)
  return { kind, byteCount, keyEnd: byteCount - (ownsEpoch ? epochBytes : 0), hasEpoch: ownsEpoch }
}

/** By the number of the kind; index 0 is unused. */
const layouts: readonly (Layout | undefined)[] = [undefined, ...revocationKinds.map(layoutOf)]

/** Throws when the next part of the page is not complete. */
const requireBytes = (body: Buffer, end: number, what: string): void => {
  if (end > body.length) throw new FeedFormatError(`the page is cut off in ${what}`)
}

/** A text whose length is in the byte before it. */
const readLabel = (body: Buffer, at: number, what: string): string => {
  requireBytes(body, at + 1, what)
  const end = at + 1 + body.readUInt8(at)
  requireBytes(body, end, what)
  const label = body.toString('latin1', at + 1, end)
  if (!isLabel(label)) throw new FeedFormatError(`${what} of the page is not visible text`)
  return label
}

/** Exact up to 2^53 - 1. `checkEntry` refuses larger values. */
const readEpoch = (body: Buffer, at: number): number =>
  body.readUInt32BE(at) * twoTo32 + body.readUInt32BE(at + 4)

/** Returns the end of the entry. Any bytes are a valid key, so only the kind and the numbers can be wrong. */
const checkEntry = (body: Buffer, at: number, place: number): number => {
  const layout = at < body.length ? layouts[body.readUInt8(at)] : undefined
  if (!layout) throw new FeedFormatError(`entry ${place}: cut off or of an unknown kind`)
  const end = at + layout.byteCount
  requireBytes(body, end, `entry ${place}`)
  if (body.readUInt32BE(at + 1) === 0) throw new FeedFormatError(`entry ${place}: no not_after`)
  if (layout.hasEpoch && !Number.isSafeInteger(readEpoch(body, end - epochBytes))) {
    throw new FeedFormatError(`entry ${place}: min_epoch is above 2^53 - 1`)
  }
  return end
}

/**
 * Makes entries from bytes that `checkEntry` has checked, one at a time: a million at once would take about 130 MB and cause a long garbage
 * collection, while the page takes 21 MB.
 */
function* entriesOf(body: Buffer, start: number): Generator<RevocationEntry> {
  let at = start
  while (at < body.length) {
    const layout = layouts[body.readUInt8(at)]
    if (!layout) throw new FeedFormatError('the page was changed after it was checked')
    const end = at + layout.byteCount
    yield {
      kind: layout.kind,
      key: body.toString('base64url', at + keyAt, at + layout.keyEnd),
      minEpoch: layout.hasEpoch ? readEpoch(body, end - epochBytes) : undefined,
      notAfter: body.readUInt32BE(at + 1),
    }
    at = end
  }
}

/**
 * Reads a page in the binary form completely, or throws a `FeedFormatError`. It is checked to the last byte before it is returned. Its
 * entries are then made one at a time during iteration, from `bytes`, which must not be changed meanwhile.
 *
 * An unknown kind is an error: a replica that skipped it would wrongly consider itself complete.
 */
export const decodeFeedBinary = (bytes: Uint8Array): FeedPage => {
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  requireBytes(body, labelsAt, 'its head')
  if (body.readUInt32BE(0) !== magic) throw new FeedFormatError('not a page of the feed')
  if (body.readUInt8(4) !== version) throw new FeedFormatError('a page of an unknown version')
  const feedId = readLabel(body, labelsAt, 'feed_id')
  const cursorAt = labelsAt + 1 + feedId.length
  const cursor = readLabel(body, cursorAt, 'cursor')
  const countAt = cursorAt + 1 + cursor.length
  requireBytes(body, countAt + 4, 'its count')
  const length = body.readUInt32BE(countAt)
  const start = countAt + 4
  let at = start
  // The count is not trusted: no memory is reserved for it, and the first missing entry ends the loop.
  for (let place = 0; place < length; place++) at = checkEntry(body, at, place)
  if (at !== body.length) throw new FeedFormatError('the page goes on behind its last entry')
  const entries: RevocationEntries = { length, [Symbol.iterator]: () => entriesOf(body, start) }
  return { feedId, cursor, entries }
}
