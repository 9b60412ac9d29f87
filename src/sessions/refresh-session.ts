import type { RequestFacts } from '../audit/index.ts'
import { sessionErrors } from './errors.ts'
import { secretDigest } from './handle.ts'
import {
  type InvestigateDeps,
  investigateRefresh,
  type Refused,
  refusal,
  unknownHandle,
} from './investigate-refresh.ts'
import { type Issued, type IssueTokens, issueTokens } from './issue-tokens.ts'
import type { Delivery, SessionFacts } from './session.ts'
import type { Rotation, SessionStore } from './session-store.ts'

export type RefreshDeps = IssueTokens &
  InvestigateDeps & {
    readonly sessions: Pick<SessionStore, 'rotate' | 'prolong' | 'resume' | 'find'>
    readonly idleSeconds: number
    /** What this process knows of what was revoked: a fail-over may have lost the commit of a log-out that others were told of. */
    readonly isRevoked: (facts: SessionFacts) => boolean
  }

export type RefreshInput = {
  /** The handle as it was presented. */
  readonly presented: string
  readonly delivery: Delivery
  readonly client: RequestFacts
}

export type RefreshResult = { readonly kind: 'issued'; readonly issued: Issued } | Refused

/** How often a handle is presented again whose session changed in between: a race can do that once. */
const attempts = 3

/**
 * How much of the grace a refresh may take, from its request to its response. A handle is only handed out in the first half of its grace,
 * and a request that waited for longer than the second half neither issues a further one nor ends a session. So a request that comes too
 * late for the grace was received after the response of the others, and two tabs never leave with different successors.
 */
const shareOfGrace = 1 / 2

/**
 * Turns a refresh token into its successor and a new access token. On the happy path that is one statement and one round trip;
 * only when it changes nothing does a second read find out why.
 * @throws session_contended, and then nothing is consumed; refresh_delayed and store_unavailable, and then it may be: a retry gets a
 * successor
 */
export const refreshSession = (deps: RefreshDeps) => {
  const { clock, codec, sessions, idleSeconds, rules } = deps
  const investigate = investigateRefresh(deps)
  const mayTakeMs = rules.graceMs > 0 ? rules.graceMs * shareOfGrace : Number.POSITIVE_INFINITY
  const answer = (
    facts: SessionFacts,
    secret: Buffer,
    nowMs: number,
    isNewest: boolean,
  ): RefreshResult =>
    deps.isRevoked(facts)
      ? refusal('revoked', isNewest)
      : { kind: 'issued', issued: issueTokens(deps, facts, secret, nowMs) }

  return async ({ presented, delivery, client }: RefreshInput): Promise<RefreshResult> => {
    const handle = codec.read(presented)
    if (!handle) return unknownHandle()
    const { sessionId, generation, secret } = handle
    const nowMs = clock.nowMs()
    const beganMs = clock.monotonicMs() - (client.waitedMs?.() ?? 0)
    const assertInTime = (): void => {
      if (clock.monotonicMs() - beganMs <= mayTakeMs) return
      throw sessionErrors.error('refresh_delayed', { retryAfterSeconds: 1 })
    }
    const rotation: Rotation = {
      sessionId,
      generation,
      secretDigest: secretDigest(secret),
      delivery,
      nowMs,
      idleExpiresAtMs: nowMs + idleSeconds * 1000,
    }
    assertInTime()
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const rotated = await sessions.rotate(rotation)
      assertInTime()
      if (rotated) return answer(rotated, secret, nowMs, true)
      const finding = await investigate(rotation, client, assertInTime)
      if (finding.kind === 'refused') return finding
      if (finding.kind === 'stands') {
        assertInTime()
        return answer(finding.facts, secret, nowMs, false)
      }
    }
    throw sessionErrors.error('session_contended', { retryAfterSeconds: 1 })
  }
}
