import type { RequestFacts } from '../audit/index.ts'
import { sessionErrors } from './errors.ts'
import { secretDigest } from './handle.ts'
import {
  type InvestigateDeps,
  investigateRefresh,
  type Refused,
  unknownHandle,
} from './investigate-refresh.ts'
import { type Issued, type IssueTokens, issueTokens } from './issue-tokens.ts'
import type { Delivery } from './session.ts'
import type { Rotation, SessionStore } from './session-store.ts'

export type RefreshDeps = IssueTokens &
  InvestigateDeps & {
    readonly sessions: Pick<SessionStore, 'rotate' | 'find'>
    readonly idleSeconds: number
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
 * Turns a refresh token into its successor and a new access token. On the happy path that is one statement and one round trip;
 * only when it changes nothing does a second read find out why.
 * @throws session_contended, and then nothing is consumed; store_unavailable, and then it may be, as an answer can be lost: a retry within
 * the grace gets the same successor
 */
export const refreshSession = (deps: RefreshDeps) => {
  const { clock, codec, sessions, idleSeconds } = deps
  const investigate = investigateRefresh(deps)

  return async ({ presented, delivery, client }: RefreshInput): Promise<RefreshResult> => {
    const handle = codec.read(presented)
    if (!handle) return unknownHandle()
    const { sessionId, generation, secret } = handle
    const nowMs = clock.nowMs()
    const rotation: Rotation = {
      sessionId,
      generation,
      secretDigest: secretDigest(secret),
      delivery,
      nowMs,
      idleExpiresAtMs: nowMs + idleSeconds * 1000,
    }
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const rotated = await sessions.rotate(rotation)
      if (rotated) return { kind: 'issued', issued: issueTokens(deps, rotated, secret, nowMs) }
      const finding = await investigate(rotation, client)
      if (finding.kind === 'refused') return finding
      if (finding.kind === 'stands') {
        return { kind: 'issued', issued: issueTokens(deps, finding.facts, secret, nowMs) }
      }
    }
    throw sessionErrors.error('session_contended', { retryAfterSeconds: 1 })
  }
}
