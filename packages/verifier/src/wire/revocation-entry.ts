/** What can be revoked: a token, a session, tokens below an account epoch, tokens below a claims epoch, a signing key, everything. */
export const revocationKinds = ['jti', 'sid', 'sub', 'claims', 'kid', 'everyone'] as const

export type RevocationKind = (typeof revocationKinds)[number]

/** A row of the revocation log in the feed format. */
export type RevocationEntry = {
  readonly kind: RevocationKind
  /** The revoked id: 22 characters of base64url for 16 bytes, for `kid` 43 for 32. Empty for `everyone`. */
  readonly key: string
  /** For `sub`, `claims` and `everyone`: tokens with a lower epoch are revoked. Undefined for the other kinds. */
  readonly minEpoch: number | undefined
  /** Seconds since the Unix epoch. After it no token that the entry revokes can be valid, and the entry may be dropped. */
  readonly notAfter: number
}

/**
 * An array, or the result of `decodeFeedBinary`, which makes each entry on demand, so that a snapshot of a million is never a million
 * objects in memory. It can be iterated more than once.
 */
export type RevocationEntries = Iterable<RevocationEntry> & { readonly length: number }

/** A response of the feed. A snapshot has the same shape and contains everything that has not ended. */
export type FeedPage = {
  /** Identifies the log: the database cluster and its timeline. A page of another log does not continue this one. */
  readonly feedId: string
  /** Opaque. Send it with the next request. */
  readonly cursor: string
  readonly entries: RevocationEntries
}
