import { callWithin, isTimeout } from '../call-within.ts'
import type { Clock } from '../clock.ts'
import type { FeedPage } from '../wire/revocation-entry.ts'
import { FeedGapError, type FeedSource } from './feed-source.ts'
import type { HeldRevocations } from './held-revocations.ts'
import type { Lease } from './lease.ts'
import type { Pace } from './pace.ts'
import type { ReplicaEvent } from './replica-options.ts'

export type FollowOptions = {
  readonly source: FeedSource
  readonly clock: Clock
  readonly held: HeldRevocations
  readonly lease: Lease
  readonly pace: Pace
  readonly leaseMs: number
  readonly waitSeconds: number
  /** Called with snapshots and errors. */
  readonly report: (event: ReplicaEvent) => void
  /** Called when the lease may have changed. */
  readonly onLease: () => void
}

/** A request is given up this long before its lease would end, so that there is time to retry on another connection. */
const retryReserveMs = 1500

/** The source may wait only if the wait, plus this time for the round trip, fits into the rest of the lease. */
const responseReserveMs = 2000

/** Before the first snapshot there is no lease, and a million entries take seconds. But a dead connection must not block forever. */
const firstSnapshotMs = 15_000

/** A snapshot may be large and the connection slow: each attempt that is given up gets twice the time of the previous one. */
const longestSnapshotMs = 60_000

/** PostgreSQL's transaction numbers rise. A lower one comes from a server that is behind, and its page proves nothing. */
const goesBack = (from: string, to: string): boolean =>
  /^\d+$/.test(from) && /^\d+$/.test(to) && BigInt(to) < BigInt(from)

/**
 * Polls the source and adds its responses to the held entries.
 *
 * It requests a snapshot first, then the changes since then, one request at a time, so that responses
 * cannot overtake each other. It starts over with a snapshot when the log is another one or cannot be
 * continued:
 *
 * | sign | why the response is not used |
 * |---|---|
 * | `FeedGapError` | the source no longer knows the cursor; there may be entries between |
 * | another `feedId` | another log: its cursor means something else, and it may lack entries |
 * | a cursor that goes back | the server that responded is behind the previous one |
 *
 * The lease continues meanwhile. The entries of the last good response stay valid, and if the
 * snapshot takes too long the replica becomes STALE.
 */
export class FeedFollower {
  readonly #with: FollowOptions
  readonly #pollTimeoutMs: number
  #snapshotTimeoutMs: number
  /** That of the last page. Kept when the log cannot be continued, to see whether the next snapshot is from the same log. */
  #feedId: string | undefined
  /** Where to continue. Undefined when a snapshot is needed. */
  #cursor: string | undefined
  #isWoken = false
  #nap: AbortController | undefined

  constructor(options: FollowOptions) {
    this.#with = options
    this.#pollTimeoutMs = Math.max(options.leaseMs - retryReserveMs, options.leaseMs / 2)
    this.#snapshotTimeoutMs = firstSnapshotMs
  }

  /** Follows until `stop` aborts. Never rejects: failures are reported and retried. */
  async run(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      this.#isWoken = false
      try {
        const pauseMs = await this.#ask(stop)
        this.#with.onLease()
        await this.#rest(pauseMs, stop)
      } catch (error) {
        if (!stop.aborted) await this.#recover(error, stop)
      }
    }
  }

  /** Ends the pause early. During a request, the next one follows at once. Does not shorten the pause after a failure. */
  wake(): void {
    this.#isWoken = true
    this.#nap?.abort()
  }

  /**
   * If the wall clock was set back to before dropped entries ended: ends the lease, requests a snapshot next and ignores the running
   * response. Returns whether it did.
   */
  startOverWhenForgetful(): boolean {
    const { held, lease } = this.#with
    if (!held.hasDroppedTooMuch()) return false
    lease.end()
    this.#cursor = undefined
    return true
  }

  /** One request with its preparation. Returns the pause until the next one in milliseconds. Rejects without a usable response. */
  async #ask(stop: AbortSignal): Promise<number> {
    const { held, onLease } = this.#with
    if (this.startOverWhenForgetful()) onLease()
    held.dropWhenDue()
    if (this.#cursor === undefined) return await this.#takeSnapshot(stop)
    return await this.#takeChanges(this.#cursor, stop)
  }

  /** A gap is treated as a failure too, so that a source that never continues gets no snapshot requests without a pause. */
  async #recover(error: unknown, stop: AbortSignal): Promise<void> {
    const { clock, onLease, pace, report } = this.#with
    if (error instanceof FeedGapError) this.#cursor = undefined
    else report({ type: 'error', error })
    onLease()
    await clock.sleep(pace.afterFailure(), stop)
  }

  /** Pauses for `pauseMs`, or until the owner asks for a poll. */
  async #rest(pauseMs: number, stop: AbortSignal): Promise<void> {
    const { clock, pace } = this.#with
    // A flood of wake-ups must not cause a flood of requests.
    const minMs = Math.min(pauseMs, pace.shortestMs())
    await clock.sleep(minMs, stop)
    if (this.#isWoken || stop.aborted || pauseMs <= minMs) return
    const nap = new AbortController()
    const wakeUp = () => nap.abort()
    this.#nap = nap
    stop.addEventListener('abort', wakeUp, { once: true })
    await clock.sleep(pauseMs - minMs, nap.signal)
    stop.removeEventListener('abort', wakeUp)
    this.#nap = undefined
  }

  /** The reported reason is found by comparing: after a gap in one log the next snapshot may be from another. */
  async #takeSnapshot(stop: AbortSignal): Promise<number> {
    const { clock, held, pace, report } = this.#with
    const startedAtMs = clock.monotonicMs()
    const page = await this.#snapshotInTime(stop)
    const isOtherLog = this.#feedId !== undefined && this.#feedId !== page.feedId
    if (isOtherLog) await held.takeOtherLog(page.entries, stop)
    else await held.take(page.entries, stop)
    const sameLogReason = this.#feedId === undefined ? 'first' : 'gap'
    const reason = isOtherLog ? 'feed_changed' : sameLogReason
    this.#feedId = page.feedId
    this.#cursor = page.cursor
    this.#renew(startedAtMs)
    report({ type: 'snapshot', entries: page.entries.length, reason })
    return pace.shortestMs()
  }

  /** A lease that ended unnoticed is reported first, because the renewal would hide it. */
  #renew(startedAtMs: number): void {
    this.#with.onLease()
    this.#with.lease.renew(startedAtMs)
  }

  /** Later snapshots start while a lease is running, and may save it if they are requested again in time. */
  async #snapshotInTime(stop: AbortSignal): Promise<FeedPage> {
    const { clock, source } = this.#with
    try {
      const page = await callWithin(clock, this.#snapshotTimeoutMs, stop, (signal) =>
        source.snapshot(signal),
      )
      this.#snapshotTimeoutMs = this.#pollTimeoutMs
      return page
    } catch (error) {
      if (isTimeout(error)) {
        this.#snapshotTimeoutMs = Math.min(longestSnapshotMs, this.#snapshotTimeoutMs * 2)
      }
      throw error
    }
  }

  /** An empty response renews the lease like any other, and most responses are empty. */
  async #takeChanges(cursor: string, stop: AbortSignal): Promise<number> {
    const { clock, held, lease, pace, source, waitSeconds } = this.#with
    const canWait = lease.leftMs() >= waitSeconds * 1000 + responseReserveMs
    const askedToWait = canWait ? waitSeconds : 0
    // Taken before the request is sent: see `Lease.renew`.
    const startedAtMs = clock.monotonicMs()
    const page = await callWithin(clock, this.#pollTimeoutMs, stop, (signal) =>
      source.changes(cursor, askedToWait, signal),
    )
    const tookMs = clock.monotonicMs() - startedAtMs
    if (page.feedId !== this.#feedId) throw new FeedGapError('the page is of another log')
    if (goesBack(cursor, page.cursor)) throw new FeedGapError('the cursor went back')
    const news = await held.take(page.entries, stop)
    if (this.#cursor !== cursor) throw new FeedGapError('the clock was set back meanwhile')
    // Only now: if an entry is refused, the same cursor must be requested again, and the lease must not be extended.
    this.#cursor = page.cursor
    this.#renew(startedAtMs)
    const repeats = page.entries.length - news
    return pace.afterPoll({ news, repeats, askedToWaitMs: askedToWait * 1000, tookMs })
  }
}
