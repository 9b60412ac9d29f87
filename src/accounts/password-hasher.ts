/** What is kept of a password. Both parts are stored; neither is a secret that opens anything by itself. */
export type StoredPassword = {
  /** The hash as a PHC string: scheme, parameters, salt and tag. */
  readonly phc: string
  /** Which pepper went into the hash, an id and not the key; `undefined` when none did. */
  readonly pepperId: string | undefined
}

export type PasswordVerdict = {
  readonly matches: boolean
  /** The password matched, but its hash was made under an older policy or pepper: store a new one now. */
  readonly needsRehash: boolean
}

/**
 * Hashes and checks passwords. Both normalise the text in the same way first, and both refuse text that
 * cannot be a password (a lone surrogate, more than the cap of code points) with `invalid_password`.
 * A bounded one also refuses with `server_busy` when too many are waiting, before any work is done.
 */
export type PasswordHasher = {
  /** Hashes under the current policy and pepper, with a fresh salt. Does not judge whether the password is a good one. */
  readonly hash: (password: string) => Promise<StoredPassword>
  /**
   * Checks a password against what is stored. `undefined` stands for an account that does not exist: the
   * same cost is paid against a dummy and nothing matches, so that the time taken tells no one who has an account.
   * Throws a plain Error, never "does not match", when the stored hash cannot be checked at all: it is
   * malformed, its cost is absurd, or its pepper is not configured any more.
   */
  readonly verify: (
    password: string,
    stored: StoredPassword | undefined,
  ) => Promise<PasswordVerdict>
}
