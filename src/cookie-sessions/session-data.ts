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
  /** The version that the writer has seen. Undefined: any. */
  readonly follows: number | undefined
}

/** The maximum size of the stored data: a shopping cart, a form with several steps. More belongs in a database of the application. */
export const maxDataBytes = 4096

/**
 * Replaces the data that a web application stores with a session, unless another request has changed it first.
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
    // Written and not dropped: otherwise a slow reader could cache the older row again.
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
  /** Notes a use of the session, if the last written use is old enough. Writes nothing. */
  readonly note: (session: CookieSession) => void
  /** Writes the noted uses. Those that could not be written are kept for the next call, and this one rejects. */
  readonly write: () => Promise<void>
}

/** Rows in one statement, which limits its load on Postgres. */
const batchSize = 1000

/**
 * The sliding expiry of cookie sessions without a write per request. Uses are noted in memory and written together, at most once a minute
 * for each session over all processes. A killed process loses the notes of some seconds.
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
    // Otherwise every process would note these sessions again while the cached state has the older use.
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

/** The store and the cache of cookie sessions, and what keeps both up to date. */
export type CookieSessionUpkeep = {
  readonly store: CookieSessionStore
  /** Undefined without Redis. Then Postgres serves every lookup. */
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
