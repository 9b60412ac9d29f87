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

/** Rewrites even without a sign of loss: Redis may evict entries, or somebody may delete them, and the mark remains. */
const rewriteAfterMs = 60_000

const isGap = (error: unknown): boolean =>
  error instanceof AppError && error.code === 'cursor_unknown'

/** What came after the previous page. Nothing when the log cannot be continued from there. */
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
 * One step to keep the cache complete. After a loss it writes everything again, otherwise what became visible since the last step. Without
 * it, an entry would be missing forever if it was committed while the cache was unreachable, or by a process that died.
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
    // Not the page itself, because its entries would stay in memory until the next step.
    last = { feedId, cursor }
  }
}

/** This many entries take about a millisecond. Then other work gets its turn. */
const sliceEntries = 4_096

/** A process whose clock is ahead may already have dropped an entry that is about to end. */
const endsSoonMs = 60_000

export type FindMissingDeps = {
  readonly clock: Pick<Clock, 'nowMs'>
  readonly feed: Pick<RevocationFeed, 'snapshot'>
  readonly replica: Pick<Replica, 'entries'>
}

/**
 * Entries that the replica has and the log lacks. A replica keeps its entries when it switches to another log, so after a fail-over it
 * knows revocations whose commits were lost.
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
