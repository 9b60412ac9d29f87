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
  /** Sessions whose copy may be old, and until when. */
  const owed = new Map<string, number>()

  const owe = (sessionIds: readonly string[], error: unknown): void => {
    const untilMs = clock.nowMs() + copyLifetimeMs
    for (const sessionId of sessionIds) if (!owed.has(sessionId)) owed.set(sessionId, untilMs)
    // That the cache is away is known already.
    if (copies.isReady()) onError(error)
  }
  const paid = (sessionIds: readonly string[]): void => {
    for (const sessionId of sessionIds) owed.delete(sessionId)
  }
  const drop = async (sessionIds: readonly string[]): Promise<void> => {
    await copies.drop(sessionIds).then(
      () => paid(sessionIds),
      (error: unknown) => owe(sessionIds, error),
    )
  }
  return {
    drop,
    replace: async (copy) => {
      const changed = [copy.session.sessionId]
      await copies.write(copy).then(
        () => paid(changed),
        (error: unknown) => owe(changed, error),
      )
    },
    settle: async () => {
      const nowMs = clock.nowMs()
      for (const [sessionId, untilMs] of owed) if (untilMs <= nowMs) owed.delete(sessionId)
      if (owed.size > 0 && copies.isReady()) await drop([...owed.keys()])
    },
  }
}
