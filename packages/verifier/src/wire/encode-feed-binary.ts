import { codeOf, entryBytes, keyAt, labelsAt, magic, twoTo32, version } from './binary-form.ts'
import { entryProblem, isLabel } from './entry-rules.ts'
import type { FeedPage, RevocationEntries, RevocationEntry } from './revocation-entry.ts'

/** Returns the start of the next entry. */
const writeEntry = (body: Buffer, at: number, entry: RevocationEntry): number => {
  const { kind, key, minEpoch, notAfter } = entry
  const end = at + entryBytes(kind)
  body[at] = codeOf(kind)
  body.writeUInt32BE(notAfter, at + 1)
  body.write(key, at + keyAt, 'base64url')
  if (minEpoch !== undefined) {
    body.writeUInt32BE(Math.floor(minEpoch / twoTo32), end - 8)
    body.writeUInt32BE(minEpoch % twoTo32, end - 4)
  }
  return end
}

/** Iterates over the entries before anything is written, so that a page of a million is allocated once with the right length. */
const measure = (entries: RevocationEntries): { count: number; byteCount: number } => {
  let count = 0
  let byteCount = 0
  for (const entry of entries) {
    const problem = entryProblem(entry)
    if (problem !== undefined) throw new TypeError(`cannot encode a revocation: ${problem}`)
    count += 1
    byteCount += entryBytes(entry.kind)
  }
  return { count, byteCount }
}

/**
 * Writes a page in the binary form that `binary-form.ts` describes: 21 bytes for a token or a session, instead of 68 in JSON.
 *
 * Throws a TypeError for a page that no reader would accept.
 */
export const encodeFeedBinary = ({ feedId, cursor, entries }: FeedPage): Uint8Array => {
  if (!isLabel(feedId) || !isLabel(cursor)) {
    throw new TypeError('a feed id and a cursor are 1 to 255 visible ASCII characters')
  }
  const { count, byteCount } = measure(entries)
  const headBytes = labelsAt + 1 + feedId.length + 1 + cursor.length + 4
  const body = Buffer.alloc(headBytes + byteCount)
  let at = body.writeUInt32BE(magic, 0)
  at = body.writeUInt8(version, at)
  for (const label of [feedId, cursor]) {
    at = body.writeUInt8(label.length, at)
    at += body.write(label, at, 'latin1')
  }
  at = body.writeUInt32BE(count, at)
  for (const entry of entries) at = writeEntry(body, at, entry)
  return body
}
