import type { Clock } from '../clock.ts'
import type { ReplicaState } from './replica-options.ts'

/**
 * How long the replica may be trusted. It uses only this process's monotonic clock, so that no other machine's clock and no clock change
 * can extend a lease. After a suspension of the process the lease has ended.
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
   * The replica is complete as of `startedAtMs`, on the monotonic clock. That is when the request was sent and not when the response came:
   * the source read at some moment in between, and later commits may be missing from the response.
   */
  renew(startedAtMs: number): void {
    if (this.#isClosed) return
    this.#endsAtMs = Math.max(this.#endsAtMs ?? startedAtMs, startedAtMs + this.#lengthMs)
  }

  /** From now on the replica is not trusted until the lease is renewed. */
  end(): void {
    if (this.#endsAtMs === undefined) return
    this.#endsAtMs = Math.min(this.#endsAtMs, this.#clock.monotonicMs())
  }

  /** Ends it permanently: a running response does not renew it. */
  close(): void {
    this.end()
    this.#isClosed = true
  }

  /** The remaining milliseconds; 0 when it has ended or not started. */
  leftMs(): number {
    return Math.max(0, (this.#endsAtMs ?? 0) - this.#clock.monotonicMs())
  }

  /** Milliseconds since it ended; 0 while it lasts, undefined when it has not started. */
  endedForMs(): number | undefined {
    if (this.#endsAtMs === undefined) return undefined
    return Math.max(0, this.#clock.monotonicMs() - this.#endsAtMs)
  }

  /** At its exact end the lease is over: by then a revocation of this age must be in force. */
  state(): ReplicaState {
    if (this.#endsAtMs === undefined) return 'LOADING'
    return this.leftMs() > 0 ? 'FRESH' : 'STALE'
  }
}
