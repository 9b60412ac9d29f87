/**
 * What keeps a session going: a refresh token and access tokens, a cookie that is looked up at every use, or a refresh token and an
 * access token sealed in a cookie. Chosen at sign-in and never changed.
 */
export type SessionKind = 'token' | 'cookie' | 'sealed'

/** How the handle reaches the client, chosen at sign-in and never changed. */
export type Delivery = 'cookie' | 'body'

/** Why a session ended; the same code in the error, the audit entry and the event. */
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
] as const

export type EndReason = (typeof endReasons)[number]

/** What a token is minted from. */
export type SessionFacts = {
  readonly sessionId: string
  readonly accountId: string
  readonly generation: number
  readonly clientId: string
  readonly audience: string
  readonly scope: string
  readonly amr: readonly string[]
  readonly acr: string
  readonly authenticatedAtMs: number
  readonly idleExpiresAtMs: number
  /** The account's roles as they are now, and the claims epoch they were read at. */
  readonly roles: readonly string[]
  readonly claimsEpoch: number
  readonly kind: SessionKind
  /** As stored at sign-in. */
  readonly globalEpoch: number
  readonly accountEpoch: number
}

/** A session with all that decides whether a handle of it is still good. */
export type SessionState = SessionFacts & {
  readonly absoluteExpiresAtMs: number
  readonly delivery: Delivery
  readonly lastUsedAtMs: number
  /** The newest generation that a client has presented: the one before `generation`, unless responses were lost. */
  readonly presentedGeneration: number
  readonly ended: EndReason | undefined
  readonly accountIsActive: boolean
  /** Whether the account's or the global epoch has risen since sign-in. */
  readonly epochHasRisen: boolean
}

export type PresentedHandle = {
  readonly generation: number
  readonly delivery: Delivery
}

/** What a client that presents the last presented handle after the grace has done: lost a response, or a thief is at work. */
export type LostResponseRule = 'resume' | 'end'

export type RefreshRules = {
  /** How long the last presented handle gets the same successor, counted from the last response; zero turns that off. */
  readonly graceMs: number
  readonly lostResponse: LostResponseRule
}

export type RefreshDecision =
  /** The handle is the current one: whatever was in the way is gone, so rotate again. */
  | { readonly kind: 'rotate' }
  /** The last presented handle in the first half of the grace: the same successor again. */
  | { readonly kind: 'repeat'; readonly facts: SessionFacts }
  /**
   * The same in the second half, and the grace begins anew: else another tab that comes a moment later would be issued a further
   * successor, in the place of the one that was just received.
   */
  | { readonly kind: 'prolong'; readonly issuedGeneration: number }
  /** The last presented handle after the grace: the response was lost, so a further successor is issued. */
  | { readonly kind: 'resume'; readonly issuedGeneration: number; readonly accountId: string }
  /** A later generation than the row's, which only we can have made: commits were lost in a fail-over. */
  | { readonly kind: 'recover' }
  /** The session must end now, for this reason. */
  | { readonly kind: 'end'; readonly reason: EndReason; readonly clearsCookie: boolean }
  | { readonly kind: 'refuse'; readonly reason: EndReason; readonly clearsCookie: boolean }
  /** A handle that was delivered the other way: as good as made up, and no sign of theft. */
  | { readonly kind: 'unknown' }

/** Why a session is over, whether or not anything has ended it yet; undefined while it is alive. */
export const whyDead = (state: SessionState, nowMs: number): EndReason | undefined => {
  if (state.ended) return state.ended
  if (state.absoluteExpiresAtMs <= nowMs) return 'absolute_expired'
  if (state.idleExpiresAtMs <= nowMs) return 'idle_expired'
  return state.epochHasRisen ? 'revoked' : undefined
}

/**
 * Decides about a handle that did not rotate its session (docs/decisions/0029-lost-responses.md has the table).
 *
 * Handles between the last presented one and the newest were issued in responses that were believed lost. If one of them is presented
 * after all, two parties hold handles of this session, and so do they if an even older handle is presented: the session ends.
 *
 * A response to a handle that is not the newest never clears the cookie, because the browser may hold the newest by now. Reuse is
 * the exception: it ends the session, and with it every handle there is.
 */
export const decideRefresh = (
  state: SessionState | undefined,
  presented: PresentedHandle,
  nowMs: number,
  { graceMs, lostResponse }: RefreshRules,
): RefreshDecision => {
  // No refresh token was ever made for a cookie session: its own handle has another MAC.
  if (!state || state.kind === 'cookie' || state.delivery !== presented.delivery) {
    return { kind: 'unknown' }
  }
  const age = state.generation - presented.generation
  const clearsCookie = age <= 0
  const dead = whyDead(state, nowMs)
  if (dead) return { kind: 'refuse', reason: dead, clearsCookie }
  if (!state.accountIsActive) return { kind: 'end', reason: 'account_disabled', clearsCookie }
  if (age < 0) return { kind: 'recover' }
  if (age === 0) return { kind: 'rotate' }
  if (presented.generation === state.presentedGeneration) {
    const issuedGeneration = state.generation
    const sinceMs = nowMs - state.lastUsedAtMs
    if (sinceMs < graceMs / 2) return { kind: 'repeat', facts: state }
    if (sinceMs < graceMs) return { kind: 'prolong', issuedGeneration }
    if (lostResponse === 'resume')
      return { kind: 'resume', issuedGeneration, accountId: state.accountId }
  }
  return { kind: 'end', reason: 'token_reuse', clearsCookie: true }
}
