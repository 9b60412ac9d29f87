import type { TokenStanding } from '../revocation/index.ts'
import type { Delivery, EndReason, SessionFacts, SessionKind, SessionState } from './session.ts'

export type NewSession = {
  readonly sessionId: string
  readonly accountId: string
  readonly kind: SessionKind
  readonly delivery: Delivery
  readonly secretDigest: Buffer
  readonly clientId: string
  readonly audience: string
  readonly scope: string
  readonly amr: readonly string[]
  readonly acr: string
  readonly userAgent: string
  readonly address: string
  readonly authenticatedAtMs: number
  readonly idleExpiresAtMs: number
  readonly absoluteExpiresAtMs: number
}

export type Rotation = {
  readonly sessionId: string
  readonly secretDigest: Buffer
  /** The generation of the handle that was presented; the session moves on only from exactly this one. */
  readonly generation: number
  readonly delivery: Delivery
  readonly nowMs: number
  /** Idle expiry if nothing else ends the session before; the store never lets it pass the absolute one. */
  readonly idleExpiresAtMs: number
}

/** One sign-in as its owner may see it: no secret, no digest. */
export type SessionSummary = {
  readonly sessionId: string
  readonly kind: SessionKind
  readonly delivery: Delivery
  readonly userAgent: string
  readonly address: string
  readonly createdAtMs: number
  readonly lastUsedAtMs: number
  readonly expiresAtMs: number
}

export type AddedSession = {
  readonly facts: SessionFacts
  /** Sessions of the account that have not been ended, without this one: at least as many as those that are live. */
  readonly others: number
}

export type SessionStore = {
  /**
   * Adds the session with the epochs that its account and the instance have at this moment. None when the account is not active.
   * The caller holds the lock of the account (see `AccountStore.lock`).
   */
  readonly add: (session: NewSession) => Promise<AddedSession | undefined>
  /**
   * The happy path of a refresh: one guarded statement that moves the session on by one generation. None when any guard fails;
   * `find` then tells which.
   */
  readonly rotate: (rotation: Rotation) => Promise<SessionFacts | undefined>
  /** Sets a session that fell behind its handle to one past that handle. None when another request has done it. */
  readonly recover: (rotation: Rotation) => Promise<SessionFacts | undefined>
  /**
   * Issues a further generation to the holder of the last presented one, whose response was lost. None when another request has moved
   * the session on from `issuedGeneration`, or has given that out after `graceBeganByMs`.
   */
  readonly resume: (
    rotation: Rotation,
    issuedGeneration: number,
    graceBeganByMs: number,
  ) => Promise<SessionFacts | undefined>
  /** Begins the grace of `issuedGeneration` anew. None when another request has moved the session on. */
  readonly prolong: (
    rotation: Rotation,
    issuedGeneration: number,
  ) => Promise<SessionFacts | undefined>
  /** None when no session has this id and secret. */
  readonly find: (sessionId: string, secretDigest: Buffer) => Promise<SessionState | undefined>
  /** The live sessions of an account, last used first. */
  readonly listOfAccount: (accountId: string, nowMs: number) => Promise<SessionSummary[]>
  /**
   * Ends one session that is live, or expired so recently that tokens of it may still be out. None when it was over before or is not of
   * this account (if one is named); else whose it was.
   */
  readonly end: (
    sessionId: string,
    reason: EndReason,
    nowMs: number,
    accountId?: string,
  ) => Promise<{ accountId: string } | undefined>
  /** Ends all such sessions of an account but one, if one is named; returns their ids. */
  readonly endAllOfAccount: (
    accountId: string,
    reason: EndReason,
    nowMs: number,
    exceptSessionId?: string,
  ) => Promise<string[]>
  /** Ends what an account has beyond `most` live sessions besides the kept one, least recently used first; returns their ids. */
  readonly evictBeyond: (
    accountId: string,
    most: number,
    nowMs: number,
    keptSessionId: string,
  ) => Promise<string[]>
  /** Whether a token with these verified claims is still good: session, account, epochs, signing key and the token itself. */
  readonly stands: (standing: TokenStanding) => Promise<boolean>
  /** Deletes sessions whose absolute expiry lies before then, at most `limit`, and says how many. */
  readonly dropExpired: (beforeMs: number, limit: number) => Promise<number>
}
