import type { RequestFacts } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import { endSession } from './end-session.ts'
import { sessionErrors } from './errors.ts'
import { type Handle, type HandleCodec, secretDigest } from './handle.ts'
import { type Issued, type IssueTokens, issueTokens } from './issue-tokens.ts'
import { type Delivery, decideRefresh, type RefreshDecision, type SessionFacts } from './session.ts'
import type { Rotation, SessionStore } from './session-store.ts'
import type { InTransaction, SessionStores } from './session-work.ts'

export type RefreshDeps = {
  readonly clock: Clock
  readonly codec: HandleCodec
  readonly mint: IssueTokens['mint']
  readonly sessions: Pick<SessionStore, 'rotate' | 'find'>
  readonly inTransaction: InTransaction<SessionStores>
  readonly graceSeconds: number
  readonly idleSeconds: number
}

export type RefreshInput = {
  /** The handle as it was presented. */
  readonly presented: string
  readonly delivery: Delivery
  readonly client: RequestFacts
}

/** Either new credentials, or why there are none and whether the client's cookie is to be cleared. */
export type RefreshResult =
  | { readonly kind: 'issued'; readonly issued: Issued }
  | { readonly kind: 'refused'; readonly error: Error; readonly clearsCookie: boolean }

/** How often a handle is tried again that found its session changed and then unchanged: a race can do that once. */
const attempts = 3

const refused = (decision: Extract<RefreshDecision, { reason: unknown }>): RefreshResult => ({
  kind: 'refused',
  error: sessionErrors.error('session_ended', { reason: decision.reason }),
  clearsCookie: decision.clearsCookie,
})

const unknown: RefreshResult = {
  kind: 'refused',
  error: sessionErrors.error('invalid_refresh_token'),
  clearsCookie: false,
}

/**
 * Turns a refresh token into its successor and a new access token. On the happy path that is one statement and one round trip;
 * only when it changes nothing does a second read find out why.
 * @throws store_unavailable, and then nothing is consumed
 */
export const refreshSession = (deps: RefreshDeps) => {
  const { clock, codec, sessions, inTransaction } = deps

  const issue = (facts: SessionFacts, handle: Handle): RefreshResult => ({
    kind: 'issued',
    issued: issueTokens(deps, facts, handle.secret),
  })

  const recover = async (rotation: Rotation, handle: Handle, client: RequestFacts) => {
    const facts = await inTransaction(async (stores) => {
      const recovered = await stores.sessions.recover(rotation)
      if (recovered) {
        const { accountId, sessionId } = recovered
        await stores.audit.record({
          event: 'generation_recovered',
          outcome: 'success',
          actor: { kind: 'system' },
          accountId,
          sessionId,
          client,
        })
      }
      return recovered
    })
    return facts && issue(facts, handle)
  }

  const end = async (
    decision: Extract<RefreshDecision, { kind: 'end' }>,
    rotation: Rotation,
    client: RequestFacts,
  ) => {
    const { sessionId, nowMs } = rotation
    const { reason } = decision
    await inTransaction((stores) =>
      endSession(stores, { sessionId, reason, nowMs, actor: { kind: 'system' }, client }),
    )
    return refused(decision)
  }

  /** Nothing means: the session changed in between, look again. */
  const investigate = async (rotation: Rotation, handle: Handle, client: RequestFacts) => {
    const state = await sessions.find(rotation.sessionId, rotation.secretDigest)
    const decision = decideRefresh(state, rotation, rotation.nowMs, deps.graceSeconds * 1000)
    switch (decision.kind) {
      case 'unknown':
        return unknown
      case 'refuse':
        return refused(decision)
      case 'end':
        return end(decision, rotation, client)
      case 'recover':
        return recover(rotation, handle, client)
      case 'repeat':
        return state && issue(state, handle)
      case 'rotate':
        return undefined
    }
  }

  return async ({ presented, delivery, client }: RefreshInput): Promise<RefreshResult> => {
    const handle = codec.read(presented)
    if (!handle) return unknown
    const nowMs = clock.nowMs()
    const rotation: Rotation = {
      sessionId: handle.sessionId,
      secretDigest: secretDigest(handle.secret),
      generation: handle.generation,
      delivery,
      nowMs,
      idleExpiresAtMs: nowMs + deps.idleSeconds * 1000,
    }
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const rotated = await sessions.rotate(rotation)
      if (rotated) return issue(rotated, handle)
      const result = await investigate(rotation, handle, client)
      if (result) return result
    }
    throw sessionErrors.error('session_contended', { retryAfterSeconds: 1 })
  }
}
