import type { RequestFacts } from '../audit/index.ts'
import { hasCallerLeft } from '../lib/caller-presence.ts'
import type { Clock } from '../lib/clock.ts'
import { endSession } from './end-session.ts'
import type { HandleCodec } from './handle.ts'
import { readPresentedCookie } from './read-presented-cookie.ts'
import { type EndReason, type SessionState, whyDead } from './session.ts'
import type { SessionStore } from './session-store.ts'
import type { InTransaction, SessionStores } from './session-work.ts'

export type ExplainRefusedDeps = {
  readonly clock: Clock
  readonly codec: Pick<HandleCodec, 'read'>
  readonly sessions: Pick<SessionStore, 'find'>
  readonly inTransaction: InTransaction<SessionStores>
  /** Told of a reason that could not be read, and of a session that could not be ended. */
  readonly onError: (error: unknown) => void
}

/** Undefined: the handle is made up, its row is gone, a step-up replaced it, or Postgres is away. */
export type ExplainRefusedCookie = (
  handle: string,
  client: RequestFacts,
) => Promise<EndReason | undefined>

/** The handle of a step-up whose response was believed lost, because the one before was used for another step-up. */
const isOrphaned = (state: SessionState, generation: number): boolean =>
  state.presentedGeneration < generation && generation < state.generation

/**
 * Why the session of a refused cookie is over, for whoever holds a handle of it, of any generation. An orphaned handle proves that two
 * parties hold the session, so it is ended, as a refresh does (`decideRefresh`). That the cookie is refused is certain without all this.
 */
export const explainRefusedCookie = (deps: ExplainRefusedDeps): ExplainRefusedCookie => {
  const { clock, codec, sessions, inTransaction, onError } = deps

  const explain: ExplainRefusedCookie = async (handle, client) => {
    const presented = readPresentedCookie(codec, handle)
    if (!presented) return undefined
    const { sessionId, generation, secretDigest } = presented
    const state = await sessions.find(sessionId, secretDigest)
    if (!state) return undefined
    const nowMs = clock.nowMs()
    const dead = whyDead(state, nowMs) ?? (state.accountIsActive ? undefined : 'account_disabled')
    if (dead !== undefined || !isOrphaned(state, generation)) return dead
    // As a refresh: nothing is ended on the word of somebody who has gone.
    if (await hasCallerLeft(client)) return undefined
    const end = { sessionId, reason: 'token_reuse', actor: { kind: 'system' }, client } as const
    await inTransaction((stores) => endSession(stores, { ...end, nowMs }))
    return end.reason
  }
  return function explainRefused(handle, client) {
    return explain(handle, client).catch((error: unknown) => {
      onError(error)
      return undefined
    })
  }
}
