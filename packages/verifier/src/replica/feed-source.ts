import type { FeedPage } from '../wire/revocation-entry.ts'

/** The source of a replica. Both calls reject without a response, or when the signal aborts. The replica then retries. */
export type FeedSource = {
  /** Everything that has not ended. The read must start after the call, or the replica believes that it is newer than it is. */
  readonly snapshot: (signal: AbortSignal) => Promise<FeedPage>
  /**
   * What became visible since the cursor was issued; entries may be repeated. With `waitSeconds` above 0 the source may hold the request
   * that long while there is nothing new. The returned read must start after the call in any case. Rejects with `FeedGapError` when the
   * source no longer knows the cursor.
   */
  readonly changes: (cursor: string, waitSeconds: number, signal: AbortSignal) => Promise<FeedPage>
}

/** The log cannot be continued from the cursor. The replica starts over with a snapshot. */
export class FeedGapError extends Error {
  override readonly name = 'FeedGapError'
}
