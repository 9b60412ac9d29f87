import type { Clock } from '../clock.ts'
import { type Names, refuseUnknown } from '../known-members.ts'
import type { RevocationEntry } from '../wire/revocation-entry.ts'
import { FeedFollower } from './follow-feed.ts'
import { HeldRevocations } from './held-revocations.ts'
import { Lease } from './lease.ts'
import { Pace } from './pace.ts'
import { ReadyGate } from './ready-gate.ts'
import type { Replica, ReplicaEvent, ReplicaOptions, ReplicaState } from './replica-options.ts'

/** S, the bound that the service promises: see `effective_by` in its response to a revocation. */
const defaultLeaseMs = 5000
/** A shorter one would end between two requests. */
const shortestLeaseMs = 1000
const defaultWaitSeconds = 1

const optionNames: Names<ReplicaOptions> = {
  source: true,
  clock: true,
  fraction: true,
  leaseMs: true,
  waitSeconds: true,
  onEvent: true,
}

const checkOptions = ({ leaseMs, waitSeconds }: { leaseMs: number; waitSeconds: number }): void => {
  if (!Number.isFinite(leaseMs) || leaseMs < shortestLeaseMs) {
    throw new TypeError(`leaseMs must be at least ${shortestLeaseMs}`)
  }
  if (!Number.isInteger(waitSeconds) || waitSeconds < 0) {
    throw new TypeError('waitSeconds must be a whole number from 0')
  }
}

/** Combines the parts: the held entries, the lease and the follower of the feed. Reports events to the owner. */
class FeedReplica implements Replica {
  readonly #clock: Clock
  readonly #held: HeldRevocations
  readonly #lease: Lease
  readonly #follower: FeedFollower
  readonly #onEvent: (event: ReplicaEvent) => void
  readonly #firstFresh = new ReadyGate()
  /** Aborted when the replica is closed. Everything that waits or requests listens to it. */
  readonly #life = new AbortController()
  readonly revokedBy: Replica['revokedBy']
  readonly isKeyRevoked: Replica['isKeyRevoked']
  #running: Promise<void> | undefined
  /** While FRESH. */
  #watching: Promise<void> | undefined
  #toldState: ReplicaState = 'LOADING'

  constructor(options: ReplicaOptions) {
    const { source, clock, fraction, onEvent = () => undefined } = options
    const { leaseMs = defaultLeaseMs, waitSeconds = defaultWaitSeconds } = options
    checkOptions({ leaseMs, waitSeconds })
    this.#clock = clock
    this.#held = new HeldRevocations(clock)
    this.revokedBy = this.#held.revokedBy
    this.isKeyRevoked = this.#held.isKeyRevoked
    this.#lease = new Lease(clock, leaseMs)
    this.#onEvent = onEvent
    this.#follower = new FeedFollower({
      source,
      clock,
      held: this.#held,
      lease: this.#lease,
      pace: new Pace(fraction, waitSeconds > 0, leaseMs),
      leaseMs,
      waitSeconds,
      report: (event) => this.#report(event),
      onLease: () => this.#observe(),
    })
  }

  readonly start = (): void => {
    if (this.#running || this.#life.signal.aborted) return
    this.#running = this.#follower.run(this.#life.signal)
  }

  readonly ready = (signal?: AbortSignal): Promise<void> => this.#firstFresh.pass(signal)

  readonly state = (): ReplicaState => {
    this.#follower.startOverWhenForgetful()
    return this.#lease.state()
  }

  readonly staleForMs = (): number | undefined => {
    this.#follower.startOverWhenForgetful()
    return this.#lease.endedForMs()
  }

  readonly entries = (): Iterable<RevocationEntry> => this.#held.entries()

  readonly apply = (entries: readonly RevocationEntry[]): void => this.#held.apply(entries)

  readonly wake = (): void => this.#follower.wake()

  readonly close = async (): Promise<void> => {
    this.#life.abort()
    // The feed is no longer followed, so the lease ends now.
    this.#lease.close()
    this.#firstFresh.shut(new Error('the replica was closed before it was fresh'))
    await this.#running
    await this.#watching
  }

  /** Reports a changed state. The state itself does not depend on this: it is computed when it is read. */
  #observe(): void {
    const state = this.state()
    if (state === this.#toldState || this.#life.signal.aborted) return
    this.#toldState = state
    if (state === 'FRESH') {
      this.#firstFresh.open()
      this.#watching ??= this.#watch()
    }
    this.#report({ type: 'state', state })
  }

  /** Checks when the lease may have ended, so that logs and metrics are updated while a request is still running. */
  async #watch(): Promise<void> {
    while (this.state() === 'FRESH') {
      await this.#clock.sleep(Math.max(1, this.#lease.leftMs()), this.#life.signal)
    }
    this.#watching = undefined
    this.#observe()
  }

  /** An error of the listener is reported like that of an event handler, and the feed is still followed. */
  #report(event: ReplicaEvent): void {
    try {
      this.#onEvent(event)
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }
}

/**
 * Makes a replica; `start()` begins to follow the feed. The clock and the random source are passed
 * in, so that tests control both.
 *
 *     const replica = createReplica({ source, clock, fraction: Math.random })
 *     replica.start()
 *     await replica.ready()
 *     replica.state() // 'FRESH'
 *     replica.revokedBy({ jti, sid, sub, kid, aep: [0, 1, 1] }) // undefined, or the kind that revokes the token
 *     await replica.close()
 *
 * Throws a TypeError for options that cannot be.
 */
export const createReplica = (options: ReplicaOptions): Replica => {
  refuseUnknown('createReplica', options, optionNames)
  return new FeedReplica(options)
}
