/** A session that is kept by a cookie alone, as it was when it was looked up. */
export type CookieSession = {
  readonly kind: 'cookie'
  readonly sessionId: string
  readonly accountId: string
  readonly email: string
  /** The account's roles as they are now, and the scope they leave of that of the login. */
  readonly roles: readonly string[]
  readonly scope: string
  readonly clientId: string
  readonly audience: string
  /** False: the cookie ends with the browser, also one that a step-up makes. */
  readonly persists: boolean
  readonly amr: readonly string[]
  readonly acr: string
  /** Of the login; the claims epoch is that of the roles. */
  readonly epochs: readonly [global: number, account: number, claims: number]
  /** Of the handle that opened it; every step-up makes another. */
  readonly generation: number
  /**
   * Of the handle that the last step-up made, while nobody is known to have presented it. Until then the one before opens the session too, with the
   * `authenticatedAtMs` it had: a response that did not arrive does not cost the session.
   */
  readonly pendingGeneration: number | undefined
  readonly createdAtMs: number
  readonly authenticatedAtMs: number
  readonly lastUsedAtMs: number
  readonly idleExpiresAtMs: number
  readonly absoluteExpiresAtMs: number
  /** JSON text of the web application; undefined until it keeps something. */
  readonly data: string | undefined
  /** How often the data was written. */
  readonly dataVersion: number
}

/** Milliseconds after which a use is worth a write. */
export const useIsNewsAfterMs = 60_000

/**
 * Rises with every change of the row that a look-up can see, because each of its parts does. Tells which of two cache is newer without
 * a column for it. Stays below 2^53, so a script in Redis can compare it too.
 */
export const revisionOf = ({
  generation,
  dataVersion,
  lastUsedAtMs,
  epochs,
}: CookieSession): number => lastUsedAtMs + generation + dataVersion + epochs[2]

/** How long a copy may be used. Revocations are remembered for longer, so no copy outlives what would refuse it. */
export const cachedSessionLifetimeMs = 60_000
