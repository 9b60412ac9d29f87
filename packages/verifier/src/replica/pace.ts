/** How a poll ended. */
export type PollOutcome = {
  /** Entries that were not held before. */
  readonly news: number
  /** Entries that were. They come again while an old transaction is open at the source. */
  readonly repeats: number
  /** How long the source was asked to wait for news, milliseconds. */
  readonly askedToWaitMs: number
  readonly tookMs: number
}

/**
 * Lets a burst of revocations gather into one answer; varied, so that replicas that were answered
 * at once do not all ask at once.
 */
const shortestMs = 5
const shortVariationMs = 5

/** For a source that cannot hold a question. */
const idleMs = 500

const firstQuietMs = 25
const longestQuietMs = 500
/** An answer without news that comes faster than this was not waited for. */
const promptMs = 250
/**
 * A page of 1,000 entries that are known already costs 50 ms of pause, so that an old transaction
 * cannot make polling quadratic.
 */
const repeatsPerMs = 20

const firstBackOffMs = 100
const longestBackOffMs = 2000

/**
 * How long to pause between questions. Every pause has a share of chance in it, and none is zero,
 * whatever the source answers: a source that answers at once and always the same must not keep a
 * processor busy.
 */
export class Pace {
  readonly #fraction: () => number
  readonly #canWait: boolean
  readonly #longestMs: number
  #failures = 0
  #quietPolls = 0

  /** `leaseMs` bounds the pauses after answers, so that a pause alone never outlives a lease. */
  constructor(fraction: () => number, canWait: boolean, leaseMs: number) {
    this.#fraction = fraction
    this.#canWait = canWait
    this.#longestMs = leaseMs / 4
  }

  /** The pause that is kept in any case, also when the owner asks for a poll now. */
  shortestMs(): number {
    return shortestMs + shortVariationMs * this.#fraction()
  }

  afterPoll(outcome: PollOutcome): number {
    this.#failures = 0
    return Math.min(this.#longestMs, this.shortestMs() + this.#extraMs(outcome))
  }

  /** 50-100 ms after the first failure in a row, doubling up to 1-2 s. */
  afterFailure(): number {
    const steps = this.#failures
    this.#failures += 1
    return this.#vary(Math.min(longestBackOffMs, firstBackOffMs * 2 ** Math.min(steps, 10)))
  }

  #extraMs({ news, repeats, askedToWaitMs, tookMs }: PollOutcome): number {
    const repeatedMs = Math.min(longestQuietMs, repeats / repeatsPerMs)
    const waitedFor = tookMs >= (askedToWaitMs > 0 ? askedToWaitMs / 2 : promptMs)
    if (news > 0 || (waitedFor && this.#canWait)) {
      this.#quietPolls = 0
      return repeatedMs
    }
    if (!this.#canWait) return this.#vary(idleMs)
    const quietMs = firstQuietMs * 2 ** Math.min(this.#quietPolls, 10)
    this.#quietPolls += 1
    return this.#vary(Math.min(longestQuietMs, Math.max(quietMs, repeatedMs)))
  }

  /** Between half of it and all of it. */
  #vary(ms: number): number {
    return (ms / 2) * (1 + this.#fraction())
  }
}
