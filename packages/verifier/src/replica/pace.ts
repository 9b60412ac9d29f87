/** The result of a poll. */
export type PollOutcome = {
  /** The number of new entries. */
  readonly news: number
  /** The number of known entries. They are repeated while an old transaction is open at the source. */
  readonly repeats: number
  /** How long the source was asked to wait, milliseconds. */
  readonly askedToWaitMs: number
  readonly tookMs: number
}

/**
 * Lets a burst of revocations gather in one response. It is varied, so that replicas that got their responses at the same time do not all
 * poll at once.
 */
const shortestMs = 5
const shortVariationMs = 5

/** For a source that cannot hold a request. */
const idleMs = 500

const firstQuietMs = 25
const longestQuietMs = 500
/** A response without news that comes faster than this did not wait. */
const promptMs = 250
/** A page of 1,000 known entries adds a pause of 50 ms, so that an old transaction cannot make polling quadratic. */
const repeatsPerMs = 20

const firstBackOffMs = 100
const longestBackOffMs = 2000

/**
 * The pauses between requests. Every pause has a random part, and none is zero: a source that responds at once with the same content must
 * not keep a processor busy.
 */
export class Pace {
  readonly #fraction: () => number
  readonly #canWait: boolean
  readonly #longestMs: number
  #failures = 0
  #quietPolls = 0

  /** `leaseMs` limits the pauses after responses, so that a pause alone never outlives a lease. */
  constructor(fraction: () => number, canWait: boolean, leaseMs: number) {
    this.#fraction = fraction
    this.#canWait = canWait
    this.#longestMs = leaseMs / 4
  }

  /** The minimum pause, even when the owner asks for a poll now. */
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
