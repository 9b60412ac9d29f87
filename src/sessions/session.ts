import { defineErrors } from '../lib/app-error.ts'

/**
 * What keeps a session alive: a refresh token with access tokens, a cookie that is looked up at every use, or a refresh token with an
 * access token sealed in a cookie. Chosen at login and never changed.
 */
export type SessionKind = 'token' | 'cookie' | 'sealed'

/** How the handle reaches the client, chosen at login and never changed. */
export type Delivery = 'cookie' | 'body'

/** Why a session ended. The error, the audit entry and the event use the same code. */
export const endReasons = [
  'logout',
  'revoked',
  'evicted',
  'replaced',
  'token_reuse',
  'account_disabled',
  'password_changed',
  'idle_expired',
  'absolute_expired',
  'audience_removed',
] as const

export type EndReason = (typeof endReasons)[number]

/** The facts that a token is made from. */
export type SessionFacts = {
  readonly sessionId: string
  readonly accountId: string
  readonly generation: number
  readonly clientId: string
  readonly audience: string
  /**
   * The audiences that the login named, `audience` first. Tokens for any of them may be requested. Empty: the login named none, and every
   * audience of the settings is allowed. Undefined: a row of an older version, which allows `audience` only.
   */
  readonly namedAudiences: readonly string[] | undefined
  /** The widest scope that a token of the session may have. */
  readonly scope: string
  readonly amr: readonly string[]
  readonly acr: string
  readonly authenticatedAtMs: number
  readonly idleExpiresAtMs: number
  /** The account's current roles, and the claims epoch at which they were read. */
  readonly roles: readonly string[]
  readonly claimsEpoch: number
  readonly kind: SessionKind
  /** False: the cookies end with the browser. */
  readonly persists: boolean
  /** As stored at login. */
  readonly globalEpoch: number
  readonly accountEpoch: number
}

/** A session with everything that decides whether a handle of it is valid. */
export type SessionState = SessionFacts & {
  readonly absoluteExpiresAtMs: number
  readonly delivery: Delivery
  readonly lastUsedAtMs: number
  /** The newest generation that a client has presented. It is the one before `generation`, unless responses were lost. */
  readonly presentedGeneration: number
  readonly ended: EndReason | undefined
  readonly accountIsActive: boolean
  /** Whether the account's or the global epoch has risen since login. */
  readonly epochHasRisen: boolean
}

/** Why a session is over, even if its end is not recorded yet. Undefined while it is live. */
export const whyDead = (state: SessionState, nowMs: number): EndReason | undefined => {
  if (state.ended) return state.ended
  if (state.absoluteExpiresAtMs <= nowMs) return 'absolute_expired'
  if (state.idleExpiresAtMs <= nowMs) return 'idle_expired'
  return state.epochHasRisen ? 'revoked' : undefined
}

export const sessionErrors = defineErrors({
  missing_refresh_token: { status: 401, title: 'The request carries no refresh token.' },
  invalid_refresh_token: {
    status: 401,
    title: 'The refresh token is not one that this service issued for this use.',
  },
  session_ended: { status: 401, title: 'The session has ended; log in again.' },
  // For a requested token that the session was not opened for. OAuth has the same codes.
  invalid_target: { status: 400, title: 'Tokens for this audience may not be requested.' },
  invalid_scope: {
    status: 400,
    title: 'The scope is malformed, or exceeds what may be requested.',
  },
  session_contended: {
    status: 503,
    title: 'The session kept changing while it was refreshed. Try again; nothing was consumed.',
  },
  refresh_delayed: {
    status: 503,
    title: 'The refresh waited too long to be decided. Try again; the session continues.',
  },
  sealed_session_too_large: {
    status: 409,
    title: 'The account has too many roles for a sealed session.',
  },
  invalid_session: { status: 401, title: 'The session cookie belongs to no live session.' },
  precondition_required: {
    status: 428,
    title: 'If-Match must state which version of the data this one follows.',
  },
  precondition_failed: {
    status: 412,
    title: 'The data was changed by another request. Read it again.',
  },
  session_not_found: { status: 404, title: 'There is no such session.' },
})
