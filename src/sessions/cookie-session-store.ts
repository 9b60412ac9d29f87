import type { CookieSession } from './cookie-session.ts'

/** What a handle says, with the digest of its secret. */
export type PresentedCookie = {
  readonly sessionId: string
  readonly generation: number
  readonly secretDigest: Buffer
}

export type DataChange = {
  readonly sessionId: string
  readonly generation: number
  /** JSON text of an object; the caller has measured it. */
  readonly data: string
  /** The version that this one follows; any, if none is named. */
  readonly follows: number | undefined
  readonly nowMs: number
}

export type Renewal = {
  readonly sessionId: string
  readonly generation: number
  readonly nowMs: number
  /** Idle expiry from now on; the store never lets it pass the absolute one. */
  readonly idleExpiresAtMs: number
}

/** Somebody used the session then. */
export type SessionUse = { readonly sessionId: string; readonly usedAtMs: number }

/** Every method sees live sessions only: not ended, not expired, of an active account, condemned by no epoch. */
export type CookieSessionStore = {
  /** One statement. None: no live cookie session has this id, secret and generation. */
  readonly look: (presented: PresentedCookie, nowMs: number) => Promise<CookieSession | undefined>
  /** None: it is not live, or its data is of another version by now. */
  readonly replaceData: (change: DataChange) => Promise<CookieSession | undefined>
  /** Signed in anew: the next generation, and no other handle opens it any more. None: it is not live, or has another generation. */
  readonly renew: (renewal: Renewal) => Promise<CookieSession | undefined>
  /**
   * Writes down uses in one statement, each only if the last one written is older than `useIsNewsAfterMs`; returns the ids of the
   * sessions it changed.
   */
  readonly recordUses: (uses: readonly SessionUse[], idleSeconds: number) => Promise<string[]>
}
