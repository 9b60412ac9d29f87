import {
  type Delivery,
  type EndReason,
  type SessionFacts,
  type SessionState,
  whyDead,
} from '../sessions/index.ts'

/** What the client requests for the next token. Undefined: the same as at login. The audience must be one of the settings. */
export type RequestedGrant = {
  readonly audience?: string | undefined
  readonly scopes?: readonly string[] | undefined
}

export type PresentedHandle = {
  readonly generation: number
  readonly delivery: Delivery
  /** Undefined: what the session was opened for. */
  readonly requested?: RequestedGrant | undefined
}

/** The codes of RFC 8707 section 2 and of RFC 6749 section 5.2. */
export type GrantRefusal = 'invalid_target' | 'invalid_scope'

/**
 * What it means when the last presented handle is presented again after the grace period. `resume`: a response was lost. `end`: a thief may
 * be at work.
 */
export type LostResponseRule = 'resume' | 'end'

export type RefreshRules = {
  /** How long the last presented handle gets the same successor, counted from the last response. Zero disables this. */
  readonly graceMs: number
  readonly lostResponse: LostResponseRule
}

export type RefreshDecision =
  /** The handle is the current one. The obstacle of the first attempt is gone, so rotate again. */
  | { readonly kind: 'rotate' }
  /** The last presented handle, in the first half of the grace period: issue the same successor again. */
  | { readonly kind: 'repeat'; readonly facts: SessionFacts }
  /**
   * The same in the second half. The grace period starts again: otherwise another tab that comes a moment later would get a further
   * successor, which replaces the one just received.
   */
  | { readonly kind: 'prolong'; readonly issuedGeneration: number }
  /** The last presented handle after the grace period. The response was lost, so a further successor is issued. */
  | { readonly kind: 'resume'; readonly issuedGeneration: number; readonly accountId: string }
  /** A generation later than that of the row. Only this service can have made it, so commits were lost in a fail-over. */
  | { readonly kind: 'recover' }
  /** The session must end now, for this reason. */
  | { readonly kind: 'end'; readonly reason: EndReason; readonly clearsCookie: boolean }
  | { readonly kind: 'refuse'; readonly reason: EndReason; readonly clearsCookie: boolean }
  /** A valid handle, but the session was not opened for the requested token. Nothing is consumed. */
  | { readonly kind: 'not_granted'; readonly code: GrantRefusal }
  /** The handle came by the wrong delivery. It is treated as unknown, and is no sign of theft. */
  | { readonly kind: 'unknown' }

/**
 * Why the session may not get the requested token: it was not opened for that audience, or the login was not granted that scope. The
 * statements of a refresh check the same, so that a refused request consumes nothing (`guarded` in rotation-store.ts).
 */
const whyNotGranted = (
  { audience, namedAudiences, scope }: SessionFacts,
  { audience: wanted, scopes = [] }: RequestedGrant = {},
): GrantRefusal | undefined => {
  const isOpenedFor =
    wanted === undefined ||
    wanted === audience ||
    namedAudiences?.length === 0 ||
    namedAudiences?.includes(wanted)
  if (!isOpenedFor) return 'invalid_target'
  const granted = scope.split(' ')
  return scopes.every((one) => granted.includes(one)) ? undefined : 'invalid_scope'
}

/** Decides about a handle of a live session by its generation and the time that has passed. */
const decideByAge = (
  state: SessionState,
  presented: PresentedHandle,
  nowMs: number,
  { graceMs, lostResponse }: RefreshRules,
): RefreshDecision => {
  const age = state.generation - presented.generation
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

/**
 * Decides about a handle that did not rotate its session (docs/decisions/0029-lost-responses.md has the table).
 *
 * Handles between the last presented one and the newest were issued in responses that were assumed lost. If one of them is presented after
 * all, or an even older one, two parties hold handles of this session, so the session ends.
 *
 * A response to a handle that is not the newest never clears the cookie, because the browser may hold the newest by now. Reuse is the
 * exception: it ends the session, and every handle with it.
 */
export const decideRefresh = (
  state: SessionState | undefined,
  presented: PresentedHandle,
  nowMs: number,
  rules: RefreshRules,
): RefreshDecision => {
  // A cookie session has no refresh tokens: its handle has another MAC.
  if (!state || state.kind === 'cookie' || state.delivery !== presented.delivery) {
    return { kind: 'unknown' }
  }
  const clearsCookie = presented.generation >= state.generation
  const dead = whyDead(state, nowMs)
  if (dead) return { kind: 'refuse', reason: dead, clearsCookie }
  if (!state.accountIsActive) return { kind: 'end', reason: 'account_disabled', clearsCookie }
  const decision = decideByAge(state, presented, nowMs, rules)
  // Theft is decided first, so that a request for another token cannot hide it.
  if (decision.kind === 'end') return decision
  const code = whyNotGranted(state, presented.requested)
  return code === undefined ? decision : { kind: 'not_granted', code }
}
