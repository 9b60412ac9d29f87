import type { Replica } from '../../packages/verifier/src/replica.ts'
import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import type { Clock } from '../lib/clock.ts'
import { fractionOf, type Random } from '../lib/random.ts'
import { findMissing } from './find-missing.ts'
import { ownReplica } from './own-replica.ts'
import { type RevocationFeed, revocationFeed } from './revocation-feed.ts'
import type { ReadLog } from './revocation-log.ts'
import type { RevocationMirror } from './revocation-mirror.ts'
import type { RevocationNotices } from './revocation-notices.ts'
import { spreadRevocations } from './spread-revocations.ts'
import { createWakeUps } from './wake-ups.ts'
import { watchedLog } from './watched-log.ts'

export type OpenRevocationsDeps = {
  readonly log: ReadLog
  readonly notices: RevocationNotices
  readonly mirror: RevocationMirror | undefined
  readonly clock: Clock
  readonly random: Random
  readonly report: (error: unknown, what: string) => void
}

/** What one instance does with revocations: follows them, passes them on, and tells others. */
export type Revocations = {
  readonly feed: RevocationFeed
  /** What is revoked, in this process. LOADING until `start`. */
  readonly replica: Replica
  /** Whether Postgres answered when the log was read last. False soon after it is away, while the replica is still FRESH. */
  readonly isLogReadable: () => boolean
  /** Names the log that was read last: another one after a fail-over, a crash or a restore. */
  readonly feedId: () => string | undefined
  /** What this process knows to be revoked and this log lacks, by its newest snapshot. Nothing, in the usual case. */
  readonly findMissing: () => Promise<RevocationEntry[]>
  /** For what a transaction revoked, after its commit. */
  readonly spread: (entries: readonly RevocationEntry[]) => Promise<void>
  /**
   * Begins to follow the log, and resolves when the replica has all of it. Rejects when it has not by then; it goes on trying, and
   * until it succeeds Postgres is asked instead.
   */
  readonly start: (patience: AbortSignal) => Promise<void>
  /** Answers at once those who wait for something new, and follows no more. The feed still answers. */
  readonly stop: () => Promise<void>
  /** Lets the last word to other instances arrive. To be called before the database is closed. */
  readonly close: () => Promise<void>
}

/** Puts the parts together; nothing runs before `start`. */
export const openRevocations = (deps: OpenRevocationsDeps): Revocations => {
  const { notices, random } = deps
  const log = watchedLog(deps.log)
  const wakeUps = createWakeUps()
  const feed = revocationFeed({ log, wakeUps })
  const replica = ownReplica({ ...deps, feed, fraction: fractionOf(random) })
  const wake = (): void => {
    wakeUps.wake()
    replica.wake()
  }
  return {
    feed,
    replica,
    isLogReadable: log.isReadable,
    feedId: log.feedId,
    findMissing: findMissing({ ...deps, feed, replica }),
    spread: spreadRevocations({ ...deps, replica, wake }),
    start: (patience) => {
      notices.listen(wake)
      replica.start()
      return replica.ready(patience)
    },
    stop: async () => {
      wakeUps.close()
      await replica.close()
    },
    close: notices.close,
  }
}
