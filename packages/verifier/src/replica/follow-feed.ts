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
  /** Told of snapshots and errors. */
  readonly tell: (event: ReplicaEvent) => void
  /** Called when the lease may have changed. */
  readonly onLease: () => void
}

/**
 * A question is given up this long before its lease would end, so that there is time to ask again
 * on another connection.
 */
const retryReserveMs = 1500

/**
 * The source is asked to wait only when that, and this much for the way there and back, fits into
 * what is left of the lease.
 */
const answerReserveMs = 2000

/**
 * Before the first snapshot there is no lease to lose, and a million entries take seconds; but a
 * dead line must not hold us for ever.
 */
const firstSnapshotMs = 15_000

/**
 * A snapshot may be large and the line slow: each that is given up gets twice the time of the one
 * before.
 */
const longestSnapshotMs = 60_000

/**
 * PostgreSQL's transaction numbers rise; a lower one comes from a server that is behind, and its
 * page proves nothing.
 */
const goesBack = (from: string, to: string): boolean =>
  /^\d+$/.test(from) && /^\d+$/.test(to) && BigInt(to) < BigInt(from)

/**
 * Asks the source, again and again, and keeps what it answers.
 *
 * First comes a snapshot, then one question after another for what is new since; never two at a
 * time, so that answers cannot overtake each other. Back to a snapshot leads whatever shows that
 * the log is not the one that was followed, or not continued:
 *
 * | what is seen | why the answer is not used |
 * |---|---|
 * | `FeedGapError` | the source no longer knows the cursor; there may be entries between |
 * | another `feedId` | another log: its cursor means something else, and it may lack entries |
 * | a cursor that goes back | the server that answered is behind the one before |
 *
 * The lease runs on meanwhile. What was known as of the last good answer stays true, and if the
 * snapshot takes too long the replica becomes STALE by itself.
 */
export class FeedFollower {
  readonly #with: FollowOptions
  readonly #pollTimeoutMs: number
  #snapshotTimeoutMs: number
  /**
   * Of the last page. Kept when the log cannot be continued, to see whether the next snapshot is of
   * the same log.
   */
  #feedId: string | undefined
  /** Where to continue; undefined when a snapshot is needed. */
  #cursor: string | undefined
  #isWoken = false
  #nap: AbortController | undefined

  constructor(options: FollowOptions) {
    this.#with = options
    this.#pollTimeoutMs = Math.max(options.leaseMs - retryReserveMs, options.leaseMs / 2)
    this.#snapshotTimeoutMs = firstSnapshotMs
  }

  /** Follows until `stop` aborts. Never rejects: what fails is told and tried again. */
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

  /**
   * Cuts the pause short; when a question is under way, the next one follows it at once. Does not
   * shorten the pause after a failure.
   */
  wake(): void {
    this.#isWoken = true
    this.#nap?.abort()
  }

  /**
   * Ends the lease and has the next question ask for a snapshot when the wall clock was set back
   * behind what was dropped by it; an answer that is under way is not used. Returns whether it did.
   */
  startOverWhenForgetful(): boolean {
    const { held, lease } = this.#with
    if (!held.hasDroppedTooMuch()) return false
    lease.end()
    this.#cursor = undefined
    return true
  }

  /**
   * One question, and what comes before it. Returns how long to pause until the next, milliseconds;
   * rejects when there was no answer or none that can be used.
   */
  async #ask(stop: AbortSignal): Promise<number> {
    const { held, onLease } = this.#with
    if (this.startOverWhenForgetful()) onLease()
    held.dropWhenDue()
    if (this.#cursor === undefined) return await this.#takeSnapshot(stop)
    return await this.#takeChanges(this.#cursor, stop)
  }

  /**
   * A gap counts as a failure too, so that a source that never continues is not asked for snapshots
   * without a pause.
   */
  async #recover(error: unknown, stop: AbortSignal): Promise<void> {
    const { clock, onLease, pace, tell } = this.#with
    if (error instanceof FeedGapError) this.#cursor = undefined
    else tell({ type: 'error', error })
    onLease()
    await clock.sleep(pace.afterFailure(), stop)
  }

  /** Pauses for `pauseMs`, or until the owner asks for a poll. */
  async #rest(pauseMs: number, stop: AbortSignal): Promise<void> {
    const { clock, pace } = this.#with
    // A flood of wake-ups must not become a flood of questions.
    const leastMs = Math.min(pauseMs, pace.shortestMs())
    await clock.sleep(leastMs, stop)
    if (this.#isWoken || stop.aborted || pauseMs <= leastMs) return
    const nap = new AbortController()
    const wakeUp = () => nap.abort()
    this.#nap = nap
    stop.addEventListener('abort', wakeUp, { once: true })
    await clock.sleep(pauseMs - leastMs, nap.signal)
    stop.removeEventListener('abort', wakeUp)
    this.#nap = undefined
  }

  /**
   * The reason that is told is found by comparing: after a gap in one log the next snapshot may be
   * of another.
   */
  async #takeSnapshot(stop: AbortSignal): Promise<number> {
    const { clock, held, pace, tell } = this.#with
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
    tell({ type: 'snapshot', entries: page.entries.length, reason })
    return pace.shortestMs()
  }

  /** A lease that ended while nobody looked is told of first: afterwards it is as if it had not. */
  #renew(startedAtMs: number): void {
    this.#with.onLease()
    this.#with.lease.renew(startedAtMs)
  }

  /** Later ones are begun while a lease runs, and may save it when they are asked for again in time. */
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

  /**
   * An empty answer renews the lease like any other: that there is nothing new is what a replica
   * mostly hears.
   */
  async #takeChanges(cursor: string, stop: AbortSignal): Promise<number> {
    const { clock, held, lease, pace, source, waitSeconds } = this.#with
    const canWait = lease.leftMs() >= waitSeconds * 1000 + answerReserveMs
    const askedToWait = canWait ? waitSeconds : 0
    // Before the question leaves: see `Lease.renew`.
    const startedAtMs = clock.monotonicMs()
    const page = await callWithin(clock, this.#pollTimeoutMs, stop, (signal) =>
      source.changes(cursor, askedToWait, signal),
    )
    const tookMs = clock.monotonicMs() - startedAtMs
    if (page.feedId !== this.#feedId) throw new FeedGapError('the page is of another log')
    if (goesBack(cursor, page.cursor)) throw new FeedGapError('the cursor went back')
    const news = await held.take(page.entries, stop)
    if (this.#cursor !== cursor) throw new FeedGapError('the clock was set back meanwhile')
    // Only now: had an entry been refused, the same cursor must be asked again, and the lease must
    // not grow.
    this.#cursor = page.cursor
    this.#renew(startedAtMs)
    const repeats = page.entries.length - news
    return pace.afterPoll({ news, repeats, askedToWaitMs: askedToWait * 1000, tookMs })
  }
}
