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
  /** How long the handle before gets the same successor again. */
  readonly graceMs: number
}

export type Confirmation = {
  readonly session: CookieSession
  /** Of the handle that opened the session before. */
  readonly replacedGeneration: number
  /** The row had lost the commit of the step-up that made the handle. */
  readonly isRecovered: boolean
}

/** Somebody used the session then. */
export type SessionUse = { readonly sessionId: string; readonly usedAtMs: number }

/** Every method sees live sessions only: not ended, not expired, of an active account, condemned by no epoch. */
export type CookieSessionStore = {
  /** One statement. None: no live cookie session has this id, secret and generation. */
  readonly look: (presented: PresentedCookie, nowMs: number) => Promise<CookieSession | undefined>
  /** None: it is not live, or its data is of another version by now. */
  readonly replaceData: (change: DataChange) => Promise<CookieSession | undefined>
  /**
   * Logged in again: the next generation, pending until it is presented. The handle before gets the same one within the grace and a
   * further one after it. None: it is not live, or the handle does not open it any more.
   */
  readonly renew: (renewal: Renewal) => Promise<CookieSession | undefined>
  /**
   * The pending handle was presented, or a later one than the row knows, so no other one opens the session any more. None: it is not
   * live, or another request came first.
   */
  readonly confirm: (
    session: Pick<CookieSession, 'sessionId' | 'generation'>,
    nowMs: number,
  ) => Promise<Confirmation | undefined>
  /**
   * Writes down uses in one statement, each only if the last one written is older than `useIsNewsAfterMs`; returns the ids of the
   * sessions it changed.
   */
  readonly recordUses: (uses: readonly SessionUse[], idleSeconds: number) => Promise<string[]>
}
