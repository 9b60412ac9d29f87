import { isKid, readId } from './id-words.ts'
import type { RevocationEntry, RevocationKind } from './revocation-entry.ts'

/** The latest time that fits into 4 bytes: February 2106. */
const largestSeconds = 0xffff_ffff

/** Kinds whose entries have a minimum epoch. */
export const hasEpoch = (kind: RevocationKind): boolean =>
  kind === 'sub' || kind === 'claims' || kind === 'everyone'

/** Seconds since the Unix epoch. 0 is invalid, because the tables of a replica use it for an empty slot. */
const isNotAfter = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 1 && Number(value) <= largestSeconds

/** Epochs are whole numbers that JSON represents exactly. */
const isEpoch = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0 && !Object.is(value, -0)

/** For keys that are only validated. */
const scratch = new Uint32Array(4)

/** Whether the text is the canonical spelling of a key of that kind. */
export const isKeyOf = (kind: RevocationKind, key: string): boolean => {
  if (kind === 'everyone') return key === ''
  return kind === 'kid' ? isKid(key) : readId(key, scratch)
}

/** The problem with the numbers of an entry, or undefined. */
export const numberProblem = ({
  kind,
  minEpoch,
  notAfter,
}: Pick<RevocationEntry, 'kind' | 'minEpoch' | 'notAfter'>): string | undefined => {
  if (!isNotAfter(notAfter)) return 'not_after is not a time in seconds'
  if (!hasEpoch(kind)) return minEpoch === undefined ? undefined : `${kind} has no min_epoch`
  return isEpoch(minEpoch) ? undefined : `${kind} needs a min_epoch from 0 to 2^53 - 1`
}

/** The problem with an entry, or undefined. */
export const entryProblem = (entry: RevocationEntry): string | undefined =>
  numberProblem(entry) ??
  (isKeyOf(entry.kind, entry.key) ? undefined : `not a key of kind ${entry.kind}`)

/**
 * A feed's name and a cursor: 1 to 255 visible ASCII characters, so that both fit into a header, a
 * query and one length byte.
 */
export const isLabel = (value: unknown): value is string =>
  typeof value === 'string' && /^[\x21-\x7e]{1,255}$/.test(value)
