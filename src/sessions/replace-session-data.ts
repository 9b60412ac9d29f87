import type { Clock } from '../lib/clock.ts'
import type { CookieSession } from './cookie-session.ts'
import type { CookieSessionStore, PresentedCookie } from './cookie-session-store.ts'
import type { CopyKeeper } from './copy-keeper.ts'
import { sessionErrors } from './errors.ts'

export type ReplaceDataDeps = {
  readonly clock: Clock
  readonly sessions: Pick<CookieSessionStore, 'look' | 'replaceData'>
  readonly keeper: Pick<CopyKeeper, 'replace'> | undefined
}

export type ReplaceDataInput = {
  readonly presented: PresentedCookie
  /** JSON text of an object, at most `maxDataBytes`. */
  readonly data: string
  /** The version that the writer has seen; any, if undefined. */
  readonly follows: number | undefined
}

/** What a session may keep: a cart, a form of several steps. More belongs into a database of the application. */
export const maxDataBytes = 4096

/**
 * Replaces what a web application keeps with a session, unless somebody else was quicker.
 * @throws precondition_failed, invalid_session, store_unavailable
 */
export const replaceSessionData =
  ({ clock, sessions, keeper }: ReplaceDataDeps) =>
  async ({ presented, data, follows }: ReplaceDataInput): Promise<CookieSession> => {
    const { sessionId, generation, secretDigest } = presented
    const nowMs = clock.nowMs()
    const changed = await sessions.replaceData({ sessionId, generation, data, follows, nowMs })
    if (!changed) {
      const stands = await sessions.look(presented, nowMs)
      throw sessionErrors.error(stands ? 'precondition_failed' : 'invalid_session')
    }
    // Written and not dropped: a slow reader could put the older row back into an empty place.
    const digest = secretDigest.toString('base64url')
    await keeper?.replace({ session: changed, secretDigest: digest, copiedAtMs: nowMs })
    return changed
  }
