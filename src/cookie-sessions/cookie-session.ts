/** A session that is kept by a cookie only, as it was at the lookup. */
export type CookieSession = {
  readonly kind: 'cookie'
  readonly sessionId: string
  readonly accountId: string
  readonly email: string
  /** The account's current roles, and the part of the login's scope that they allow. */
  readonly roles: readonly string[]
  readonly scope: string
  readonly clientId: string
  readonly audience: string
  /** False: the cookie ends with the browser, also one that a step-up makes. */
  readonly persists: boolean
  readonly amr: readonly string[]
  readonly acr: string
  /** The epochs of the login; the claims epoch is that of the roles. */
  readonly epochs: readonly [global: number, account: number, claims: number]
  /** The generation of the handle that was used. Every step-up makes another. */
  readonly generation: number
  /**
   * The generation from the last step-up, until its handle is presented. Until then the previous handle opens the session too, with its
   * earlier `authenticatedAtMs`, so that a lost response does not cost the session.
   */
  readonly pendingGeneration: number | undefined
  readonly createdAtMs: number
  readonly authenticatedAtMs: number
  readonly lastUsedAtMs: number
  readonly idleExpiresAtMs: number
  readonly absoluteExpiresAtMs: number
  /** JSON text of the web application. Undefined until it stores something. */
  readonly data: string | undefined
  /** How often the data was written. */
  readonly dataVersion: number
}

/** Uses are written at most once in this time. */
export const useIsNewsAfterMs = 60_000

/**
 * Rises with every change of the row that a lookup can see, because each of its parts does. So it tells which of two cached sessions is
 * newer, without a column for it. Stays below 2^53, so that a script in Redis can compare it.
 */
export const revisionOf = ({
  generation,
  dataVersion,
  lastUsedAtMs,
  epochs,
}: CookieSession): number => lastUsedAtMs + generation + dataVersion + epochs[2]

/** How long a cached session may be used. Revocations are kept for longer, so no cached session outlives the entry that refuses it. */
export const cachedSessionLifetimeMs = 60_000
