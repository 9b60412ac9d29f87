import type { Clock } from '../lib/clock.ts'
import { copyLifetimeMs, type SessionCopies, type SessionCopy } from './session-copies.ts'

/** Changes copies after a commit, and goes on trying while an older copy may still be out. */
export type CopyKeeper = {
  /** Puts the new state of a session in the place of its copy. Never rejects. */
  readonly replace: (copy: SessionCopy) => Promise<void>
  /** Never rejects. */
  readonly drop: (sessionIds: readonly string[]) => Promise<void>
  /** Tries again what failed. */
  readonly settle: () => Promise<void>
}

/**
 * A cache that is away for this process may be there for another one, which would then use the older copy, with the data of before, for
 * up to its lifetime. A session that has ended or was renewed is refused sooner: the log of revocations says so.
 */
export const copyKeeper = (
  clock: Clock,
  copies: SessionCopies,
  onError: (error: unknown) => void,
): CopyKeeper => {
  /** Sessions whose copy may be old, and until when by the monotonic clock. */
  const owed = new Map<string, number>()

  /** Says whether it succeeded. What became owed after it began stays owed: of several nodes one may be slow. */
  const tryTo = async (act: () => Promise<void>, sessionIds: readonly string[]) => {
    const before = sessionIds.map((sessionId) => [sessionId, owed.get(sessionId)] as const)
    try {
      await act()
    } catch (error) {
      // That the cache is away is known already.
      if (copies.isReady()) onError(error)
      return false
    }
    for (const [sessionId, untilMs] of before) {
      if (owed.get(sessionId) === untilMs) owed.delete(sessionId)
    }
    return true
  }
  /** Until a whole lifetime from now, also when older changes are owed: what they left may have been copied until this one. */
  const change = async (act: () => Promise<void>, sessionIds: readonly string[]): Promise<void> => {
    if (await tryTo(act, sessionIds)) return
    const untilMs = clock.monotonicMs() + copyLifetimeMs
    for (const sessionId of sessionIds) owed.set(sessionId, untilMs)
  }
  return {
    drop: (sessionIds) => change(() => copies.drop(sessionIds), sessionIds),
    replace: (copy) => change(() => copies.write(copy), [copy.session.sessionId]),
    settle: async () => {
      const nowMs = clock.monotonicMs()
      for (const [sessionId, untilMs] of owed) if (untilMs <= nowMs) owed.delete(sessionId)
      if (owed.size === 0 || !copies.isReady()) return
      const sessionIds = [...owed.keys()]
      await tryTo(() => copies.drop(sessionIds), sessionIds)
    },
  }
}
