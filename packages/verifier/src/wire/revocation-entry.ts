/**
 * What can be revoked: a token, a session, an account's epoch, its claims epoch, a signing key,
 * everything.
 */
export const revocationKinds = ['jti', 'sid', 'sub', 'claims', 'kid', 'everyone'] as const

export type RevocationKind = (typeof revocationKinds)[number]

/** A row of the log of revocations, as it travels. */
export type RevocationEntry = {
  readonly kind: RevocationKind
  /**
   * The id that is revoked: 22 characters of base64url for 16 bytes, for `kid` 43 for 32; empty for
   * `everyone`.
   */
  readonly key: string
  /**
   * For `sub`, `claims` and `everyone`: tokens with a lower epoch are dead. Undefined for the other
   * kinds.
   */
  readonly minEpoch: number | undefined
  /**
   * Seconds since the Unix epoch; afterwards no token that the entry covers can be valid, and it
   * may be dropped.
   */
  readonly notAfter: number
}

/**
 * An array is one. What `decodeFeedBinary` gives is another: it makes each entry when it is asked
 * for, so that a snapshot of a million never stands in memory as a million objects. It can be gone
 * through more than once.
 */
export type RevocationEntries = Iterable<RevocationEntry> & { readonly length: number }

/** An answer of the feed; a snapshot has the same shape and holds everything that has not ended. */
export type FeedPage = {
  /**
   * Names the log: the database cluster and its timeline. A page of another log does not continue
   * ours.
   */
  readonly feedId: string
  /** Opaque; to be sent with the next request. */
  readonly cursor: string
  readonly entries: RevocationEntries
}
