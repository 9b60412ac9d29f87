import type { FeedPage } from '../wire/revocation-entry.ts'

/**
 * Where a replica asks. Both calls reject when there is no answer, or when the signal aborts; the
 * replica then asks again later.
 */
export type FeedSource = {
  /**
   * Everything that has not ended. The reading must start after the call, or the replica believes
   * itself newer than it is.
   */
  readonly snapshot: (signal: AbortSignal) => Promise<FeedPage>
  /**
   * What became visible since the cursor was given out; entries may come again. With `waitSeconds`
   * above 0 the other side may hold the question that long while there is nothing new; the reading
   * that is answered must start after the call in any case. Rejects with `FeedGapError` when the
   * other side no longer knows the cursor.
   */
  readonly changes: (cursor: string, waitSeconds: number, signal: AbortSignal) => Promise<FeedPage>
}

/** The log cannot be continued from the cursor: the replica starts over with a snapshot. */
export class FeedGapError extends Error {
  override readonly name = 'FeedGapError'
}
