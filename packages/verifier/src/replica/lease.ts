import type { Clock } from '../clock.ts'
import type { ReplicaState } from './replica-options.ts'

/**
 * How long the copy may be trusted. Only this process's monotonic clock counts: what another
 * machine believes the time to be, or what an operator sets it to, cannot lengthen a lease. A
 * process that was suspended finds its lease over.
 */
export class Lease {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #lengthMs: number
  /** Undefined until the first complete read. */
  #endsAtMs: number | undefined
  #isClosed = false

  constructor(clock: Pick<Clock, 'monotonicMs'>, lengthMs: number) {
    this.#clock = clock
    this.#lengthMs = lengthMs
  }

  /**
   * The copy is complete as of `startedAtMs`, on the monotonic clock. That is when the question was
   * sent and not when the answer came: the other side read at some moment in between, and what was
   * committed after that moment may be missing from the answer.
   */
  renew(startedAtMs: number): void {
    if (this.#isClosed) return
    this.#endsAtMs = Math.max(this.#endsAtMs ?? startedAtMs, startedAtMs + this.#lengthMs)
  }

  /** From now on the copy is not to be trusted, until it is renewed. */
  end(): void {
    if (this.#endsAtMs === undefined) return
    this.#endsAtMs = Math.min(this.#endsAtMs, this.#clock.monotonicMs())
  }

  /** Ends it for good: an answer that was under way does not bring it back. */
  close(): void {
    this.end()
    this.#isClosed = true
  }

  /** What is left, milliseconds; 0 when it is over, or has not begun. */
  leftMs(): number {
    return Math.max(0, (this.#endsAtMs ?? 0) - this.#clock.monotonicMs())
  }

  /** Milliseconds since it ended; 0 while it lasts, undefined when it has not begun. */
  endedForMs(): number | undefined {
    if (this.#endsAtMs === undefined) return undefined
    return Math.max(0, this.#clock.monotonicMs() - this.#endsAtMs)
  }

  /**
   * At the very end it is over: a revocation that is exactly a lease old is already in force
   * everywhere.
   */
  state(): ReplicaState {
    if (this.#endsAtMs === undefined) return 'LOADING'
    return this.leftMs() > 0 ? 'FRESH' : 'STALE'
  }
}
