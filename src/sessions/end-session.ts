import { type Actor, actorText, type RequestFacts } from '../audit/index.ts'
import type { EndReason } from './session.ts'
import type { SessionStores } from './session-work.ts'

export type SessionEnd = {
  readonly sessionId: string
  readonly reason: EndReason
  readonly nowMs: number
  readonly actor: Actor
  /** Only a session of this account is ended, if one is named. */
  readonly accountId?: string
  readonly client?: RequestFacts
}

/**
 * Ends one session and condemns the access tokens it has out, and records it, inside a transaction of the caller's.
 * @returns false when there is no such session, or somebody else has ended it: then nothing is written
 */
export const endSession = async (
  { sessions, revocations, audit }: SessionStores,
  { sessionId, reason, nowMs, actor, accountId, client }: SessionEnd,
): Promise<boolean> => {
  const ended = await sessions.end(sessionId, reason, nowMs, accountId)
  if (!ended) return false
  await revocations.append({
    target: { kind: 'sid', key: sessionId },
    actor: actorText(actor),
    reason,
  })
  await audit.record({
    event: eventOf(reason),
    outcome: reason === 'token_reuse' ? 'failure' : 'success',
    reason,
    actor,
    accountId: ended.accountId,
    sessionId,
    ...(client && { client }),
  })
  return true
}

const eventOf = (reason: EndReason): 'logout' | 'token_reuse' | 'session_ended' =>
  reason === 'logout' || reason === 'token_reuse' ? reason : 'session_ended'
