import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  encodeFeedBinary,
  encodeFeedJson,
  type FeedPage,
  type RevocationEntry,
} from '../../packages/verifier/src/wire.ts'

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
