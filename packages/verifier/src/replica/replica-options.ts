import type { Clock } from '../clock.ts'
import type { RevocationEntry, RevocationKind } from '../wire/revocation-entry.ts'
import type { FeedSource } from './feed-source.ts'
import type { RevocationFacts } from './revocation-facts.ts'

/**
 * `LOADING`: no snapshot yet, nothing may be accepted. `FRESH`: complete as of less than a lease
 * ago, so what it does not cover may be accepted. `STALE`: it cannot prove that any more, and the
 * route's policy decides.
 */
export type ReplicaState = 'LOADING' | 'FRESH' | 'STALE'

export type ReplicaEvent =
  | { readonly type: 'state'; readonly state: ReplicaState }
  /**
   * A snapshot of so many entries was taken in: the first, or one after a gap in the log or a
   * change to another log.
   */
  | {
      readonly type: 'snapshot'
      readonly entries: number
      readonly reason: 'first' | 'gap' | 'feed_changed'
    }
  /** A question to the source failed and will be asked again. */
  | { readonly type: 'error'; readonly error: unknown }

export type ReplicaOptions = {
  readonly source: FeedSource
  readonly clock: Clock
  /**
   * A number from 0 up to and not including 1, for the jitter that keeps many replicas from asking
   * in step.
   */
  readonly fraction: () => number
  /**
   * How long after the start of its last complete read a replica may be trusted, milliseconds;
   * default 5000, at least 1000.
   */
  readonly leaseMs?: number
  /**
   * How long the source may hold a question, whole seconds; default 1. 0 for a source that cannot
   * wait: it is then polled 2 to 4 times a second.
   */
  readonly waitSeconds?: number
  /** Told of what happens, for logs and metrics; it must not throw. */
  readonly onEvent?: (event: ReplicaEvent) => void
}

export type Replica = {
  /** Begins to follow the source. Calling it again does nothing. */
  readonly start: () => void
  /**
   * Resolves when the replica is FRESH for the first time; rejects when the signal aborts or the
   * replica is closed before.
   */
  readonly ready: (signal?: AbortSignal) => Promise<void>
  /** Computed from the lease at the moment of asking; no timer can be late with it. */
  readonly state: () => ReplicaState
  /** Milliseconds since the lease ended; 0 while FRESH, undefined while LOADING. */
  readonly staleForMs: () => number | undefined
  /**
   * The kind of an entry that revokes a token with these facts, or undefined. Says nothing about
   * freshness: ask `state` too.
   */
  readonly revokedBy: (facts: RevocationFacts) => RevocationKind | undefined
  /**
   * Whether a signing key is revoked, to be asked before its signatures are checked or believed.
   */
  readonly isKeyRevoked: (kid: string) => boolean
  /**
   * What is held, in no order, one at a time. What comes or goes meanwhile may be missing.
   */
  readonly entries: () => Iterable<RevocationEntry>
  /**
   * Takes in what its owner knows before the feed says it. Renews no lease. Throws a TypeError for
   * an entry that cannot be one.
   */
  readonly apply: (entries: readonly RevocationEntry[]) => void
  /**
   * Asks the source now instead of after the pause: for an owner that was told that there is
   * something new.
   */
  readonly wake: () => void
  /**
   * Stops following, aborts what is under way, and resolves when nothing is left running. The
   * replica is never FRESH afterwards.
   */
  readonly close: () => Promise<void>
}
