import type { Clock } from '../clock.ts'
import type { RevocationEntry, RevocationKind } from '../wire/revocation-entry.ts'
import type { FeedSource } from './feed-source.ts'
import type { RevocationFacts } from './revocation-facts.ts'

/**
 * `LOADING`: no snapshot yet; every token must be refused. `FRESH`: complete as of less than a lease ago, so tokens that it does not revoke
 * may be accepted. `STALE`: it cannot prove that any more, and the route's policy decides.
 */
export type ReplicaState = 'LOADING' | 'FRESH' | 'STALE'

export type ReplicaEvent =
  | { readonly type: 'state'; readonly state: ReplicaState }
  /** A snapshot with this many entries was loaded: the first one, or one after a gap in the log or a change to another log. */
  | {
      readonly type: 'snapshot'
      readonly entries: number
      readonly reason: 'first' | 'gap' | 'feed_changed'
    }
  /** A request to the source failed and will be retried. */
  | { readonly type: 'error'; readonly error: unknown }

export type ReplicaOptions = {
  readonly source: FeedSource
  readonly clock: Clock
  /** A number in [0, 1) for the jitter that keeps many replicas from polling in step. */
  readonly fraction: () => number
  /** How long a replica may be trusted after the start of its last complete read, milliseconds; default 5000, at least 1000. */
  readonly leaseMs?: number
  /**
   * How long the source may hold a request, whole seconds; default 1. Use 0 for a source that cannot wait: it is then polled 2 to 4 times a
   * second.
   */
  readonly waitSeconds?: number
  /** Called for each event, for logs and metrics. It must not throw. */
  readonly onEvent?: (event: ReplicaEvent) => void
}

export type Replica = {
  /** Starts to follow the source. A second call does nothing. */
  readonly start: () => void
  /** Resolves when the replica is FRESH for the first time. Rejects when the signal aborts or the replica is closed before. */
  readonly ready: (signal?: AbortSignal) => Promise<void>
  /** Computed from the lease when it is called, so it does not depend on a timer. */
  readonly state: () => ReplicaState
  /** Milliseconds since the lease ended; 0 while FRESH, undefined while LOADING. */
  readonly staleForMs: () => number | undefined
  /** The kind of an entry that revokes a token with these facts, or undefined. It does not check freshness: read `state` too. */
  readonly revokedBy: (facts: RevocationFacts) => RevocationKind | undefined
  /** Whether a signing key is revoked. Check this before trusting its signatures. */
  readonly isKeyRevoked: (kid: string) => boolean
  /** The held entries, one at a time, unordered. Entries that are added or dropped meanwhile may be missing. */
  readonly entries: () => Iterable<RevocationEntry>
  /** Adds entries that its owner knows before the feed does. Renews no lease. Throws a TypeError for an invalid entry. */
  readonly apply: (entries: readonly RevocationEntry[]) => void
  /** Polls the source now instead of after the pause, for an owner that was notified of something new. */
  readonly wake: () => void
  /** Stops following, aborts running requests, and resolves when nothing is left running. The replica is never FRESH afterwards. */
  readonly close: () => Promise<void>
}
