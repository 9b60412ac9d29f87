import { leewaySeconds, longestTokenSeconds, mintSlackSeconds } from '../lib/machine.ts'

/** What can be revoked before it expires. */
export type RevocationTarget =
  | { readonly kind: 'jti'; readonly key: string }
  | { readonly kind: 'sid'; readonly key: string }
  /** Tokens of the account with a lower account epoch. */
  | { readonly kind: 'sub'; readonly key: string; readonly minEpoch: number }
  /** Tokens of the account whose roles were read at a lower claims epoch. */
  | { readonly kind: 'claims'; readonly key: string; readonly minEpoch: number }
  /** Every token signed with this key. */
  | { readonly kind: 'kid'; readonly key: string }
  /** Every token with a lower global epoch. */
  | { readonly kind: 'everyone'; readonly key: ''; readonly minEpoch: number }

export type NewRevocation = {
  readonly target: RevocationTarget
  readonly actor: string
  readonly reason: string
}

export type NewTokenRevocation = Omit<NewRevocation, 'target'> & { readonly tokenId: string }

/** S: a verifier that reports itself fresh applies a revocation at most this long after its commit. */
export const boundSeconds = 5

/** How long an entry is kept: until the last token it can revoke has expired by every clock, whichever process issued it. */
export const entryLifetimeMs = (longestTokenSeconds + leewaySeconds + mintSlackSeconds) * 1000

/**
 * How long the revocation of a signing key is kept (not the key itself, see `keptAfterRetirementMs`). A token lifetime is not enough here:
 * a thief can sign tokens that look new. The entry must outlive every cached key set that contains the key, and verifiers keep theirs for
 * up to 24 h while Cardea is unreachable, some for days. Such entries are rare, so a week costs nothing.
 */
export const keyEntryLifetimeMs = 7 * 24 * 3600 * 1000

/** A row that no version of this code can have written. */
export class ImpossibleRevocation extends Error {
  override readonly name = 'ImpossibleRevocation'
}

const maxNamed = 10

/** Names rows that were written by hand or restored from a damaged back-up. */
export const malformedRevocations = (rows: readonly string[]): ImpossibleRevocation => {
  const names = rows.slice(0, maxNamed).map((row) => JSON.stringify(row.slice(0, 80)))
  const more = rows.length > maxNamed ? ` and ${rows.length - maxNamed} more` : ''
  return new ImpossibleRevocation(
    `${names.join(', ')}${more}: what these rows were to revoke may still be accepted; revoke it again and delete them`,
  )
}
