import type { Clock } from '../lib/clock.ts'
import type { HandleCodec } from './handle.ts'
import { readPresentedCookie } from './read-presented-cookie.ts'
import { type EndReason, whyDead } from './session.ts'
import type { SessionStore } from './session-store.ts'

export type WhyEndedDeps = {
  readonly clock: Clock
  readonly codec: Pick<HandleCodec, 'read'>
  readonly sessions: Pick<SessionStore, 'find'>
  /** Told of a reason that could not be read. */
  readonly onError: (error: unknown) => void
}

/**
 * Why the session of a refused cookie is over, for whoever holds a handle of it, of any generation. Nothing for a handle that is made up
 * or whose row is gone, for one that a step-up replaced, and while Postgres is away: that the cookie is refused is certain without it.
 */
export const whyCookieSessionEnded =
  ({ clock, codec, sessions, onError }: WhyEndedDeps) =>
  async (handle: string): Promise<EndReason | undefined> => {
    const presented = readPresentedCookie(codec, handle)
    if (!presented) return undefined
    const { sessionId, secretDigest } = presented
    const state = await sessions.find(sessionId, secretDigest).catch((error: unknown) => {
      onError(error)
      return undefined
    })
    if (!state) return undefined
    return whyDead(state, clock.nowMs()) ?? (state.accountIsActive ? undefined : 'account_disabled')
  }
