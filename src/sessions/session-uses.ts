import type { Clock } from '../lib/clock.ts'
import { type CookieSession, useIsNewsAfterMs } from './cookie-session.ts'
import type { CookieSessionStore } from './cookie-session-store.ts'
import type { CopyKeeper } from './copy-keeper.ts'

export type SessionUsesDeps = {
  readonly clock: Clock
  readonly sessions: Pick<CookieSessionStore, 'recordUses'>
  readonly keeper: Pick<CopyKeeper, 'drop'> | undefined
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
export const sessionUses = ({
  clock,
  sessions,
  keeper,
  idleSeconds,
}: SessionUsesDeps): SessionUses => {
  let noted = new Map<string, number>()

  const writeBatch = async (batch: readonly (readonly [string, number])[]): Promise<void> => {
    const uses = batch.map(([sessionId, usedAtMs]) => ({ sessionId, usedAtMs }))
    const written = await sessions.recordUses(uses, idleSeconds)
    // Else every instance would note these sessions again for as long as the copies tell of the older use.
    await keeper?.drop(written)
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
