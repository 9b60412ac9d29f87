import type { RequestFacts } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import { endSession, recordEnd } from './end-session.ts'
import { sessionErrors } from './errors.ts'
import type { InTransaction, SessionStores } from './session-work.ts'

export type OwnSessionsDeps = {
  readonly clock: Clock
  readonly inTransaction: InTransaction<SessionStores>
}

/** The signed-in person, by a verified access token. */
export type Owner = {
  readonly accountId: string
  readonly sessionId: string
  readonly client: RequestFacts
}

/** Ends the session that asks. Asking twice changes nothing more. */
export const logOut =
  ({ clock, inTransaction }: OwnSessionsDeps) =>
  async ({ accountId, sessionId, client }: Owner): Promise<void> => {
    await inTransaction((stores) =>
      endSession(stores, {
        sessionId,
        accountId,
        reason: 'logout',
        nowMs: clock.nowMs(),
        actor: { kind: 'account', accountId },
        client,
      }),
    )
  }

/**
 * Ends one of the owner's sessions, from whichever of them they ask.
 * @throws session_not_found when it is not theirs, or has ended
 */
export const endOwnSession =
  ({ clock, inTransaction }: OwnSessionsDeps) =>
  async (sessionId: string, { accountId, client }: Owner): Promise<void> => {
    const ended = await inTransaction((stores) =>
      endSession(stores, {
        sessionId,
        accountId,
        reason: 'revoked',
        nowMs: clock.nowMs(),
        actor: { kind: 'account', accountId },
        client,
      }),
    )
    if (!ended) throw sessionErrors.error('session_not_found')
  }

/** Ends all the owner's sessions, or all but the one that asks. Returns how many ended. */
export const endOwnSessions =
  ({ clock, inTransaction }: OwnSessionsDeps) =>
  async ({ accountId, sessionId, client }: Owner, keepsCurrent: boolean): Promise<number> =>
    inTransaction(async (stores) => {
      const reason = 'revoked'
      const kept = keepsCurrent ? sessionId : undefined
      const ended = await stores.sessions.endAllOfAccount(accountId, reason, clock.nowMs(), kept)
      const actor = { kind: 'account', accountId } as const
      for (const one of ended) {
        await recordEnd(stores, { sessionId: one, accountId, reason, actor, client })
      }
      return ended.length
    })
