import { type Actor, actorText, type RequestFacts } from '../audit/index.ts'
import type { EndReason } from './session.ts'
import type { SessionStores } from './session-work.ts'

export type EndedSession = {
  readonly sessionId: string
  readonly accountId: string
  readonly reason: EndReason
  readonly actor: Actor
  readonly client?: RequestFacts
}

export type SessionEnd = Omit<EndedSession, 'accountId'> & {
  readonly nowMs: number
  /** Only a session of this account is ended, if one is named. */
  readonly accountId?: string
}

/** Condemns the access tokens that an ended session has out, and records its end: in the transaction that ended it, for every session. */
export const recordEnd = async (
  { revocations, audit }: Pick<SessionStores, 'revocations' | 'audit'>,
  ended: EndedSession,
): Promise<void> => {
  const { sessionId, reason, actor } = ended
  await revocations.append({
    target: { kind: 'sid', key: sessionId },
    actor: actorText(actor),
    reason,
  })
  await audit.record({
    event: eventOf(reason),
    outcome: reason === 'token_reuse' ? 'failure' : 'success',
    ...ended,
  })
}

/**
 * Ends one session and condemns the access tokens it has out, and records it, inside a transaction of the caller's.
 * @returns false when there is no such session, or somebody else has ended it: then nothing is written
 */
export const endSession = async (
  stores: SessionStores,
  { nowMs, accountId, ...end }: SessionEnd,
): Promise<boolean> => {
  const ended = await stores.sessions.end(end.sessionId, end.reason, nowMs, accountId)
  if (!ended) return false
  await recordEnd(stores, { ...end, accountId: ended.accountId })
  return true
}

const eventOf = (reason: EndReason): 'logout' | 'token_reuse' | 'session_ended' =>
  reason === 'logout' || reason === 'token_reuse' ? reason : 'session_ended'
