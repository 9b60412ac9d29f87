import type { Clock } from '../lib/clock.ts'
import type { RevocationFeed } from './revocation-log.ts'
import type { RevocationMirror } from './revocation-mirror.ts'

export type FollowDeps = {
  readonly clock: Clock
  readonly feed: RevocationFeed
  readonly mirror: RevocationMirror
}

/** Also without a sign of loss: a cluster may lose one node's share and keep the mark on another. */
const rewriteAfterMs = 60_000

/**
 * Makes one step of keeping the mirror complete: after a loss everything is written again, else what has become visible since the
 * last step. Without this, an entry committed while the cache was away, or by an instance that died, would be missing for good.
 */
export const followRevocations = ({ clock, feed, mirror }: FollowDeps) => {
  let cursor: string | undefined
  let rewrittenAtMs = clock.monotonicMs()
  return async (): Promise<void> => {
    const isDue = clock.monotonicMs() - rewrittenAtMs >= rewriteAfterMs
    const from = (await mirror.isIntact()) && !isDue ? cursor : undefined
    const page = await feed.since(from)
    await mirror.write(page.entries)
    if (from === undefined) {
      await mirror.markIntact()
      rewrittenAtMs = clock.monotonicMs()
    }
    cursor = page.cursor
  }
}
