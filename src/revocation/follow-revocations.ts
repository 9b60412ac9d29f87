import { setImmediate as nextTurn } from 'node:timers/promises'
import { createRevocationSet, type Replica } from '../../packages/verifier/src/replica.ts'
import type { FeedPage, RevocationEntry } from '../../packages/verifier/src/wire.ts'
import { AppError } from '../lib/app-error.ts'
import type { Clock } from '../lib/machine.ts'
import type { RevocationCache } from './revocation-cache.ts'
import type { RevocationFeed } from './revocation-feed.ts'

export type FollowDeps = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly feed: RevocationFeed
  readonly cache: RevocationCache
}

/** Also without a sign of loss: Redis may evict entries, or somebody deletes them, and no mark goes with them. */
const rewriteAfterMs = 60_000

const isGap = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'cursor_unknown'

/** What came after the page before; nothing when the log cannot be continued from there. */
const changesSince = async (
  feed: RevocationFeed,
  { feedId, cursor }: Pick<FeedPage, 'feedId' | 'cursor'>,
): Promise<FeedPage | undefined> => {
  try {
    const { page } = await feed.changes(cursor)
    return page.feedId === feedId ? page : undefined
  } catch (error) {
    if (isGap(error)) return undefined
    throw error
  }
}

/**
 * Makes one step of keeping the cache complete: after a loss everything is written again, else what has become visible since the
 * last step. Without this, an entry committed while the cache was away, or by an instance that died, would be missing for good.
 */
export const followRevocations = ({ clock, feed, cache }: FollowDeps) => {
  let last: Pick<FeedPage, 'feedId' | 'cursor'> | undefined
  let rewrittenAtMs = clock.monotonicMs()
  return async (): Promise<void> => {
    const isDue = clock.monotonicMs() - rewrittenAtMs >= rewriteAfterMs
    const from = (await cache.isIntact()) && !isDue ? last : undefined
    const changes = from && (await changesSince(feed, from))
    if (!changes) await cache.beginRewrite()
    const { feedId, cursor, entries } = changes ?? (await feed.snapshot()).page
    await cache.write(entries)
    if (!changes) {
      await cache.markIntact()
      rewrittenAtMs = clock.monotonicMs()
    }
    // Not the page itself: its entries would be kept until the next step.
    last = { feedId, cursor }
  }
}

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
