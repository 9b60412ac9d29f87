/**
 * An in-memory replica of the revocations. It follows the feed, is queried in memory, and knows
 * whether it may still be trusted. The verifier is built on it, and the service uses it too.
 *
 *     LOADING ───▶ FRESH ◀───▶ STALE
 *
 * It is LOADING until the first snapshot is loaded, FRESH until its lease ends, then STALE until
 * the next response. A first snapshot that took longer than a lease leads directly to STALE.
 *
 * The lease, for a bound of S = 5 s:
 *
 *     request sent       source reads      response arrives               sent + S
 *     │ time noted ──────┼─────────────────┼──────────────────────────────│ STALE from here on
 *       complete as of here, at least      FRESH, by what was noted
 *
 * A revocation committed after the read is missing from the response. It was then committed after
 * the request was sent, so its own S does not end before the lease: a FRESH replica never lacks a
 * revocation that is S old. Only the monotonic clock of this process is used, and every rule here
 * errs towards STALE.
 */
export type { Clock } from './clock.ts'
export { createReplica } from './replica/create-replica.ts'
export { FeedGapError, type FeedSource } from './replica/feed-source.ts'
export type {
  Replica,
  ReplicaEvent,
  ReplicaOptions,
  ReplicaState,
} from './replica/replica-options.ts'
export type { RevocationFacts } from './replica/revocation-facts.ts'
export { createRevocationSet, type RevocationSet } from './replica/revocation-set.ts'
