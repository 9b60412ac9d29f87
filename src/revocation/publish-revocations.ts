import type { Replica } from '../../packages/verifier/src/replica.ts'
import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import type { Clock } from '../lib/machine.ts'
import type { RevocationCache } from './revocation-cache.ts'
import type { RevocationNotifier } from './revocation-notifier.ts'

export type PublishDeps = {
  readonly replica: Pick<Replica, 'apply'>
  /** Wakes the long polls that wait in this process. */
  readonly wake: () => void
  readonly notifier: Pick<RevocationNotifier, 'announce'>
  readonly cache: RevocationCache | undefined
  readonly report: (error: unknown, what: string) => void
}

/**
 * Publishes what a transaction revoked, after its commit, so that nothing is published that might roll back. When it resolves, this process
 * refuses what was revoked. It waits only for the cache. A failure here loses nothing: followers poll, and the cache is filled later.
 */
export const publishRevocations = ({ replica, wake, notifier, cache, report }: PublishDeps) =>
  async function publish(entries: readonly RevocationEntry[]): Promise<void> {
    if (entries.length === 0) return
    replica.apply(entries)
    wake()
    notifier.announce()
    if (!cache?.isReady()) return
    await cache
      .write(entries)
      .catch((error: unknown) => report(error, 'revocations were not published'))
  }

/**
 * The maximum time from computing the end of an entry to its commit. Postgres then waits as long again for the commit itself. The rest of
 * the 40 s by which entries outlive tokens (`mintSlackSeconds`) covers clock differences.
 */
const commitWithinMs = 5_000

/** The revocations of one transaction, while it runs and after its commit. */
export type PendingRevocations = {
  readonly add: (entry: RevocationEntry, reckonedAtMs: number) => void
  /**
   * Checked right before the commit. False when the process stalled after a revocation, or its clock is in doubt: the entry would be
   * deleted before the tokens expire that were issued meanwhile.
   */
  readonly mayCommit: () => boolean
  /** After the commit. */
  readonly publish: () => Promise<void>
}

export const pendingRevocations = (
  clock: Pick<Clock, 'nowMs'> & { readonly isSure: () => boolean },
  publish: (entries: readonly RevocationEntry[]) => Promise<void>,
): PendingRevocations => {
  const entries: RevocationEntry[] = []
  let firstReckonedAtMs = Number.POSITIVE_INFINITY
  return {
    add: (entry, reckonedAtMs) => {
      entries.push(entry)
      firstReckonedAtMs = Math.min(firstReckonedAtMs, reckonedAtMs)
    },
    mayCommit: () => {
      if (entries.length === 0) return true
      return clock.isSure() && clock.nowMs() - firstReckonedAtMs <= commitWithinMs
    },
    publish: () => publish(entries),
  }
}
