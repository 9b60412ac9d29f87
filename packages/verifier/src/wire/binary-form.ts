import { hasEpoch } from './entry-rules.ts'
import { idBytes } from './id-words.ts'
import { type RevocationKind, revocationKinds } from './revocation-entry.ts'

/**
 * The binary form of a page. Numbers are unsigned and big-endian.
 *
 *     "CREV"  version 1B = 1  length 1B, feed_id  length 1B, cursor  count 4B  entry × count
 *     entry = kind 1B  not_after 4B  key  [min_epoch 8B]
 *
 * | kind | | key | min_epoch | entry takes |
 * |---|---|---|---|---|
 * | 1 | jti | 16 bytes | | 21 bytes |
 * | 2 | sid | 16 bytes | | 21 bytes |
 * | 3 | sub | 16 bytes | yes | 29 bytes |
 * | 4 | claims | 16 bytes | yes | 29 bytes |
 * | 5 | kid | 32 bytes | | 37 bytes |
 * | 6 | everyone | none | yes | 13 bytes |
 *
 * The page ends with its last entry. Because the count comes before the entries, neither a truncated
 * page nor one with trailing bytes is valid.
 */
export const magic = 0x43_52_45_56
export const version = 1

/** Where the label of the feed begins, after magic and version. */
export const labelsAt = 4 + 1

/** The offset of the key in its entry. */
export const keyAt = 1 + 4

export const epochBytes = 8
export const twoTo32 = 0x1_0000_0000

/** The media type of the form, for `Accept` and `Content-Type`. */
export const feedBinaryMediaType = 'application/vnd.cardea.revocations'

const keyBytes = (kind: RevocationKind): number => {
  if (kind === 'everyone') return 0
  return kind === 'kid' ? 32 : idBytes
}

/** The total length of an entry of this kind. */
export const entryBytes = (kind: RevocationKind): number =>
  keyAt + keyBytes(kind) + (hasEpoch(kind) ? epochBytes : 0)

/** The number of a kind is its index in `revocationKinds` plus 1; 0 is none. */
export const codeOf = (kind: RevocationKind): number => revocationKinds.indexOf(kind) + 1
