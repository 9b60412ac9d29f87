import type { Clock } from '../lib/machine.ts'
import { sessionErrors } from '../sessions/index.ts'
import { type CookieSession, useIsNewsAfterMs } from './cookie-session.ts'
import type { CookieSessionStore, PresentedCookie } from './cookie-session-store.ts'
import { type CacheInvalidator, cacheInvalidator, type SessionCache } from './session-cache.ts'

export type ReplaceDataDeps = {
  readonly clock: Clock
  readonly sessions: Pick<CookieSessionStore, 'look' | 'replaceData'>
  readonly invalidator: Pick<CacheInvalidator, 'replace'> | undefined
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
  ({ clock, sessions, invalidator }: ReplaceDataDeps) =>
  async ({ presented, data, follows }: ReplaceDataInput): Promise<CookieSession> => {
    const { sessionId, generation, secretDigest } = presented
    const nowMs = clock.nowMs()
    const changed = await sessions.replaceData({ sessionId, generation, data, follows, nowMs })
    if (!changed) {
      const current = await sessions.look(presented, nowMs)
      throw sessionErrors.error(current ? 'precondition_failed' : 'invalid_session')
    }
    // Written and not dropped: a slow reader could put the older row back into an empty place.
    const digest = secretDigest.toString('base64url')
    await invalidator?.replace({ session: changed, secretDigest: digest, copiedAtMs: nowMs })
    return changed
  }

export type ReplaceSessionData = ReturnType<typeof replaceSessionData>

export type SessionUsesDeps = {
  readonly clock: Clock
  readonly sessions: Pick<CookieSessionStore, 'recordUses'>
  readonly invalidator: Pick<CacheInvalidator, 'drop'> | undefined
  readonly idleSeconds: number
}

export type SessionUses = {
  /** Notes that a session was used, if the last use that was written is old enough. Costs no write. */
  readonly note: (session: CookieSession) => void
  /** Writes what was noted. What could not be written is kept for the next time, and the call rejects. */
  readonly write: () => Promise<void>
}

/** Rows of one statement: a bounded share of Postgres's attention. */
const batchSize = 1000

/**
 * The sliding expiry of cookie sessions without a write a request: uses are noted in memory and written together, every session at
 * most once a minute over all instances. A process that is killed loses the notes of some seconds.
 */
const sessionUses = ({
  clock,
  sessions,
  invalidator,
  idleSeconds,
}: SessionUsesDeps): SessionUses => {
  let noted = new Map<string, number>()

  const writeBatch = async (batch: readonly (readonly [string, number])[]): Promise<void> => {
    const uses = batch.map(([sessionId, usedAtMs]) => ({ sessionId, usedAtMs }))
    const written = await sessions.recordUses(uses, idleSeconds)
    // Else every instance would note these sessions again for as long as the copies tell of the older use.
    await invalidator?.drop(written)
  }
  return {
    note: ({ sessionId, lastUsedAtMs }) => {
      const nowMs = clock.nowMs()
      if (nowMs - lastUsedAtMs >= useIsNewsAfterMs) noted.set(sessionId, nowMs)
    },
    write: async () => {
      const entries = [...noted]
      noted = new Map()
      for (let start = 0; start < entries.length; start += batchSize) {
        try {
          await writeBatch(entries.slice(start, start + batchSize))
        } catch (error) {
          noted = new Map([...entries.slice(start), ...noted])
          throw error
        }
      }
    },
  }
}

/** Where cookie sessions are kept and cached, and what keeps both up to date. */
export type CookieSessionUpkeep = {
  readonly store: CookieSessionStore
  /** None without Redis: then Postgres answers every look-up. */
  readonly cache: SessionCache | undefined
  readonly invalidator: CacheInvalidator | undefined
  readonly uses: SessionUses
}

export type OpenCookieSessionsDeps = Pick<CookieSessionUpkeep, 'store' | 'cache'> & {
  readonly clock: Clock
  readonly report: (error: unknown, what: string) => void
  readonly idleSeconds: number
}

export const openCookieSessions = (deps: OpenCookieSessionsDeps): CookieSessionUpkeep => {
  const { store, cache, clock, report, idleSeconds } = deps
  const onError = (error: unknown) => report(error, 'an old session may be cached')
  const invalidator = cache && cacheInvalidator(clock, cache, onError)
  const uses = sessionUses({ clock, sessions: store, invalidator, idleSeconds })
  return { store, cache, invalidator, uses }
}
