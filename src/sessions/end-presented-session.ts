import type { RequestFacts } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import { endSession } from './end-session.ts'
import { type HandleCodec, secretDigest } from './handle.ts'
import type { Delivery } from './session.ts'
import type { InTransaction, SessionStores } from './session-work.ts'

export type EndPresentedDeps = {
  readonly clock: Clock
  readonly codec: HandleCodec
  readonly inTransaction: InTransaction<SessionStores>
}

/**
 * Logs out by session cookie: the session of any handle we made ends, of whatever generation. One from before a step-up opens nothing any
 * more, but whoever holds it was told that they are logged out, and must not be wrong. A handle that is made up changes nothing and is no
 * error.
 */
export const endCookieSession =
  ({ clock, codec, inTransaction }: EndPresentedDeps) =>
  async (presented: string, client: RequestFacts): Promise<void> => {
    const handle = codec.read(presented)
    if (!handle) return
    const { sessionId } = handle
    await inTransaction(async (stores) => {
      const state = await stores.sessions.find(sessionId, secretDigest(handle.secret))
      if (!state) return
      const actor = { kind: 'account', accountId: state.accountId } as const
      await endSession(stores, { sessionId, reason: 'logout', nowMs: clock.nowMs(), actor, client })
    })
  }

export type PresentedInput = {
  readonly presented: string
  readonly delivery: Delivery
  readonly client: RequestFacts
}

/**
 * Logs out by refresh token: the session of any handle we made ends, of whatever generation. A handle that is made up, or whose
 * session is gone, changes nothing and is no error: the caller wanted to be logged out, and is.
 */
export const endPresentedSession =
  ({ clock, codec, inTransaction }: EndPresentedDeps) =>
  async ({ presented, delivery, client }: PresentedInput): Promise<void> => {
    const handle = codec.read(presented)
    if (!handle) return
    const { sessionId } = handle
    await inTransaction(async (stores) => {
      const state = await stores.sessions.find(sessionId, secretDigest(handle.secret))
      if (!state || state.delivery !== delivery) return
      const { accountId } = state
      const actor = { kind: 'account', accountId } as const
      await endSession(stores, { sessionId, reason: 'logout', nowMs: clock.nowMs(), actor, client })
    })
  }
