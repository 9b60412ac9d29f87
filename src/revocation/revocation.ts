import { leewaySeconds, longestTokenSeconds, mintSlackSeconds } from '../lib/machine.ts'

/** What can die before its time. */
export type RevocationTarget =
  | { readonly kind: 'jti'; readonly key: string }
  | { readonly kind: 'sid'; readonly key: string }
  /** Tokens of the account with a lower account epoch. */
  | { readonly kind: 'sub'; readonly key: string; readonly minEpoch: number }
  /** Tokens of the account whose roles were read at a lower claims epoch. */
  | { readonly kind: 'claims'; readonly key: string; readonly minEpoch: number }
  /** Every token that names this signing key. */
  | { readonly kind: 'kid'; readonly key: string }
  /** Every token with a lower global epoch. */
  | { readonly kind: 'everyone'; readonly key: ''; readonly minEpoch: number }

export type NewRevocation = {
  readonly target: RevocationTarget
  readonly actor: string
  readonly reason: string
}

export type NewTokenRevocation = Omit<NewRevocation, 'target'> & { readonly tokenId: string }

/** S: a revocation holds on every verifier that calls itself fresh this long after its commit (design section 6). */
export const boundSeconds = 5

/** How long an entry must be kept: until the last token it can cover has expired by anybody's clock, whoever minted it. */
export const entryLifetimeMs = (longestTokenSeconds + leewaySeconds + mintSlackSeconds) * 1000

/**
 * How long the revocation of a signing key is kept; not the key itself (`keptAfterRetirementMs`). Not as long as a token lives, as for the others: whoever stole the key goes on
 * making tokens that look new. It must outlive every copy of the key set that still holds the key: verifiers keep theirs for up to
 * 24 h while Cardea cannot be reached, some for days. Such entries are rare, so a week costs nothing.
 */
export const keyEntryLifetimeMs = 7 * 24 * 3600 * 1000

/** A row that no version of this code can have written. */
export class ImpossibleRevocation extends Error {
  override readonly name = 'ImpossibleRevocation'
}

const mostNamed = 10

/** Names rows that somebody wrote by hand, or a damaged back-up brought back. */
export const malformedRevocations = (rows: readonly string[]): ImpossibleRevocation => {
  const names = rows.slice(0, mostNamed).map((row) => JSON.stringify(row.slice(0, 80)))
  const more = rows.length > mostNamed ? ` and ${rows.length - mostNamed} more` : ''
  return new ImpossibleRevocation(
    `${names.join(', ')}${more}: what these rows were to revoke may still be accepted; revoke it again and delete them`,
  )
}
