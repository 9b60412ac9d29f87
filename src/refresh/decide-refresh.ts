import {
  type Delivery,
  type EndReason,
  type SessionFacts,
  type SessionState,
  whyDead,
} from '../sessions/index.ts'

/** What a client wants the next token to be; undefined: as the session was opened. The audience is one of the settings. */
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
  /** A good handle, for a token that the session was not opened for. Nothing is consumed. */
  | { readonly kind: 'not_granted'; readonly code: GrantRefusal }
  /** A handle that was delivered the other way: as good as made up, and no sign of theft. */
  | { readonly kind: 'unknown' }

/**
 * Why a token may not be had of a session: it was not opened for that audience, or the login was not given that scope. The statements of
 * a refresh ask the same, so that what is refused consumes nothing (`guarded` in rotation-store.ts).
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

/** What a handle of a live session means, by its age and the time that has passed. */
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
  rules: RefreshRules,
): RefreshDecision => {
  // No refresh token was ever made for a cookie session: its own handle has another MAC.
  if (!state || state.kind === 'cookie' || state.delivery !== presented.delivery) {
    return { kind: 'unknown' }
  }
  const clearsCookie = presented.generation >= state.generation
  const dead = whyDead(state, nowMs)
  if (dead) return { kind: 'refuse', reason: dead, clearsCookie }
  if (!state.accountIsActive) return { kind: 'end', reason: 'account_disabled', clearsCookie }
  const decision = decideByAge(state, presented, nowMs, rules)
  // Theft comes first: a request for something else must not hide it.
  if (decision.kind === 'end') return decision
  const code = whyNotGranted(state, presented.requested)
  return code === undefined ? decision : { kind: 'not_granted', code }
}
