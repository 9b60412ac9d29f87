import type { RequestFacts } from '../audit/index.ts'
import { endSession } from './end-session.ts'
import { sessionErrors } from './errors.ts'
import {
  decideRefresh,
  type EndReason,
  type RefreshDecision,
  type SessionFacts,
} from './session.ts'
import type { Rotation, SessionStore } from './session-store.ts'
import type { InTransaction, SessionStores } from './session-work.ts'

export type InvestigateDeps = {
  readonly sessions: Pick<SessionStore, 'find'>
  readonly inTransaction: InTransaction<SessionStores>
  readonly graceSeconds: number
}

/** Why a refresh gives no tokens, and whether the client's cookie is to be cleared. */
export type Refused = {
  readonly kind: 'refused'
  readonly error: Error
  readonly clearsCookie: boolean
}

export type Finding =
  /** Tokens for the session as it stands. */
  | { readonly kind: 'stands'; readonly facts: SessionFacts }
  | Refused
  /** The session changed in between: present the handle again. */
  | { readonly kind: 'changed' }

/** A handle that nobody was given here, or not for this use. */
export const unknownHandle = (): Refused => ({
  kind: 'refused',
  error: sessionErrors.error('invalid_refresh_token'),
  clearsCookie: false,
})

const refusal = (reason: EndReason, clearsCookie: boolean): Refused => ({
  kind: 'refused',
  error: sessionErrors.error('session_ended', { reason }),
  clearsCookie,
})

const actor = { kind: 'system' } as const

const recover = async (
  { inTransaction }: InvestigateDeps,
  rotation: Rotation,
  client: RequestFacts,
): Promise<Finding> => {
  const facts = await inTransaction(async ({ sessions, audit }) => {
    const recovered = await sessions.recover(rotation)
    if (!recovered) return undefined
    const { accountId, sessionId } = recovered
    const event = 'generation_recovered'
    await audit.record({ event, outcome: 'success', actor, accountId, sessionId, client })
    return recovered
  })
  return facts ? { kind: 'stands', facts } : { kind: 'changed' }
}

const end = async (
  { inTransaction }: InvestigateDeps,
  { reason, clearsCookie }: Extract<RefreshDecision, { kind: 'end' }>,
  { sessionId, nowMs }: Rotation,
  client: RequestFacts,
): Promise<Finding> => {
  await inTransaction((stores) => endSession(stores, { sessionId, reason, nowMs, actor, client }))
  return refusal(reason, clearsCookie)
}

/**
 * Finds out why a handle did not rotate its session, and does what follows from it.
 * @throws store_unavailable
 */
export const investigateRefresh =
  (deps: InvestigateDeps) =>
  async (rotation: Rotation, client: RequestFacts): Promise<Finding> => {
    const state = await deps.sessions.find(rotation.sessionId, rotation.secretDigest)
    const decision = decideRefresh(state, rotation, rotation.nowMs, deps.graceSeconds * 1000)
    switch (decision.kind) {
      case 'unknown':
        return unknownHandle()
      case 'repeat':
        return { kind: 'stands', facts: decision.facts }
      case 'rotate':
        return { kind: 'changed' }
      case 'recover':
        return recover(deps, rotation, client)
      case 'refuse':
        return refusal(decision.reason, decision.clearsCookie)
      case 'end':
        return end(deps, decision, rotation, client)
    }
  }
