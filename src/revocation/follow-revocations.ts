import type { FeedPage } from '../../packages/verifier/src/wire.ts'
import { AppError } from '../lib/app-error.ts'
import type { Clock } from '../lib/clock.ts'
import type { RevocationFeed } from './revocation-feed.ts'
import type { RevocationMirror } from './revocation-mirror.ts'

export type FollowDeps = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly feed: RevocationFeed
  readonly mirror: RevocationMirror
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
 * Makes one step of keeping the mirror complete: after a loss everything is written again, else what has become visible since the
 * last step. Without this, an entry committed while the cache was away, or by an instance that died, would be missing for good.
 */
export const followRevocations = ({ clock, feed, mirror }: FollowDeps) => {
  let last: Pick<FeedPage, 'feedId' | 'cursor'> | undefined
  let rewrittenAtMs = clock.monotonicMs()
  return async (): Promise<void> => {
    const isDue = clock.monotonicMs() - rewrittenAtMs >= rewriteAfterMs
    const from = (await mirror.isIntact()) && !isDue ? last : undefined
    const changes = from && (await changesSince(feed, from))
    if (!changes) await mirror.beginRewrite()
    const { feedId, cursor, entries } = changes ?? (await feed.snapshot()).page
    await mirror.write(entries)
    if (!changes) {
      await mirror.markIntact()
      rewrittenAtMs = clock.monotonicMs()
    }
    // Not the page itself: its entries would be kept until the next step.
    last = { feedId, cursor }
  }
}
