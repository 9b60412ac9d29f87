/**
 * A copy, in this process, of what is revoked: it follows the feed, answers in memory, and knows
 * whether it may still be trusted. The verifier is built on it; the service uses it too.
 *
 *     LOADING ───▶ FRESH ◀───▶ STALE
 *
 * It is LOADING until the first snapshot is taken in, FRESH until its lease ends, then STALE until
 * the next answer. A first snapshot that took longer than a lease leads straight to STALE.
 *
 * The lease, for a bound of S = 5 s:
 *
 *     question sent      source reads      answer arrives                 sent + S
 *     │ time noted ──────┼─────────────────┼──────────────────────────────│ STALE from here on
 *       complete as of here, at least      FRESH, by what was noted
 *
 * A revocation committed after the reading is missing from the answer. It was then committed after
 * the question was sent, so its own S is not over before the lease is: a FRESH replica never lacks
 * a revocation that is S old. Only one clock is looked at, the monotonic one of this process, and
 * every rule here errs towards STALE.
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
