import { setImmediate as nextTurn } from 'node:timers/promises'
import { createRevocationSet, type Replica } from '../../packages/verifier/src/replica.ts'
import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import type { Clock } from '../lib/clock.ts'
import type { RevocationFeed } from './revocation-feed.ts'

/** So many entries take about a millisecond; then others get their turn. */
const sliceEntries = 4_096

/** An entry that is about to end may have been dropped by a process whose clock is ahead. */
const endsSoonMs = 60_000

export type FindMissingDeps = {
  readonly clock: Pick<Clock, 'nowMs'>
  readonly feed: Pick<RevocationFeed, 'snapshot'>
  readonly replica: Pick<Replica, 'entries'>
}

/**
 * What the replica holds and the log lacks. A replica forgets nothing when it comes to another log, so after a fail-over it knows of
 * revocations whose commits were lost.
 */
export const findMissing =
  ({ clock, feed, replica }: FindMissingDeps) =>
  async (): Promise<RevocationEntry[]> => {
    const set = createRevocationSet()
    let seen = 0
    const rest = async (): Promise<void> => {
      seen += 1
      if (seen % sliceEntries === 0) await nextTurn()
    }
    for (const entry of (await feed.snapshot()).page.entries) {
      set.add(entry)
      await rest()
    }
    const missing: RevocationEntry[] = []
    const from = (clock.nowMs() + endsSoonMs) / 1000
    for (const entry of replica.entries()) {
      if (entry.notAfter > from && set.add(entry)) missing.push(entry)
      await rest()
    }
    return missing
  }
