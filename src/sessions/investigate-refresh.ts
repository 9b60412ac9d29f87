import type { RequestFacts } from '../audit/index.ts'
import { callerGone, hasCallerLeft } from '../lib/caller-presence.ts'
import { endSession } from './end-session.ts'
import { sessionErrors } from './errors.ts'
import {
  decideRefresh,
  type EndReason,
  type RefreshDecision,
  type RefreshRules,
  type SessionFacts,
} from './session.ts'
import type { Rotation, SessionStore } from './session-store.ts'
import type { InTransaction, SessionStores } from './session-work.ts'

export type InvestigateDeps = {
  readonly sessions: Pick<SessionStore, 'find' | 'prolong' | 'resume'>
  readonly inTransaction: InTransaction<SessionStores>
  readonly rules: RefreshRules
  /** Whether the account may still add to the audit trail, which all accounts share. */
  readonly mayRecord: (spender: {
    readonly subjectId: string
    readonly sessionId: string
  }) => Promise<boolean>
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

export const refusal = (reason: EndReason, clearsCookie: boolean): Refused => ({
  kind: 'refused',
  error: sessionErrors.error('session_ended', { reason }),
  clearsCookie,
})

const actor = { kind: 'system' } as const

/** Moves a session on in a way that is not the usual one, and records that it did. */
const moveOn = async (
  { inTransaction }: InvestigateDeps,
  event: 'generation_recovered' | 'refresh_response_lost',
  client: RequestFacts,
  move: (sessions: SessionStore) => Promise<SessionFacts | undefined>,
): Promise<Finding> => {
  const facts = await inTransaction(async ({ sessions, audit }) => {
    const moved = await move(sessions)
    if (!moved) return undefined
    const { accountId, sessionId } = moved
    await audit.record({ event, outcome: 'success', actor, accountId, sessionId, client })
    return moved
  })
  return facts ? { kind: 'stands', facts } : { kind: 'changed' }
}

/**
 * The first lost response of a presented handle is recorded, as long as the account has a budget for it: a client that loses one after the
 * other, or pretends to, must neither be kept out nor fill the audit trail.
 */
const resume = async (
  deps: InvestigateDeps,
  rotation: Rotation,
  { issuedGeneration, accountId }: Extract<RefreshDecision, { kind: 'resume' }>,
  client: RequestFacts,
): Promise<Finding> => {
  // Nobody is issued a handle in the place of one that its holder has received.
  if (await hasCallerLeft(client)) throw callerGone()
  const graceBeganByMs = rotation.nowMs - deps.rules.graceMs
  const isFirst = issuedGeneration - rotation.generation === 1
  const { sessionId } = rotation
  if (isFirst && (await deps.mayRecord({ subjectId: accountId, sessionId }))) {
    return moveOn(deps, 'refresh_response_lost', client, (sessions) =>
      sessions.resume(rotation, issuedGeneration, graceBeganByMs),
    )
  }
  const facts = await deps.sessions.resume(rotation, issuedGeneration, graceBeganByMs)
  return facts ? { kind: 'stands', facts } : { kind: 'changed' }
}

const end = async (
  { inTransaction }: InvestigateDeps,
  { reason, clearsCookie }: Extract<RefreshDecision, { kind: 'end' }>,
  { sessionId, nowMs }: Rotation,
  client: RequestFacts,
): Promise<Finding> => {
  // A process that stood still runs requests whose callers left long ago, and an old handle is no sign of theft then. A thief waits for
  // the response. So nothing is ended or written on the word of somebody who has gone.
  if (await hasCallerLeft(client)) throw callerGone()
  await inTransaction((stores) => endSession(stores, { sessionId, reason, nowMs, actor, client }))
  return refusal(reason, clearsCookie)
}

/**
 * Finds out why a handle did not rotate its session, and does what follows from it.
 * @param assertInTime throws when the request has waited for too long to decide about its session
 * @throws store_unavailable, and what `assertInTime` throws
 */
export const investigateRefresh =
  (deps: InvestigateDeps) =>
  async (rotation: Rotation, client: RequestFacts, assertInTime: () => void): Promise<Finding> => {
    const state = await deps.sessions.find(rotation.sessionId, rotation.secretDigest)
    assertInTime()
    const decision = decideRefresh(state, rotation, rotation.nowMs, deps.rules)
    switch (decision.kind) {
      case 'unknown':
        return unknownHandle()
      case 'repeat':
        return { kind: 'stands', facts: decision.facts }
      case 'prolong': {
        const facts = await deps.sessions.prolong(rotation, decision.issuedGeneration)
        return facts ? { kind: 'stands', facts } : { kind: 'changed' }
      }
      case 'rotate':
        return { kind: 'changed' }
      case 'recover':
        return moveOn(deps, 'generation_recovered', client, (sessions) =>
          sessions.recover(rotation),
        )
      case 'resume':
        return resume(deps, rotation, decision, client)
      case 'refuse':
        return refusal(decision.reason, decision.clearsCookie)
      case 'end':
        return end(deps, decision, rotation, client)
    }
  }
