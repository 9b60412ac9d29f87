/**
 * Owns the revocation log: how an entry is written, how long it is kept, how it reaches everyone who must refuse what it revokes (followers
 * of the feed, this process, readers of the cache), and when it is deleted. Also owns the check of access tokens that depends on it. It
 * never decides what to revoke: features append to the log inside their own transactions. The log is no history: an entry is deleted after
 * 970 s, and the audit trail has who revoked what.
 */
export type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
export {
  bearerCheck,
  type CheckBearer,
  callerFrom,
  personBearerCheck,
  type TokenStanding,
} from './bearer-check.ts'
export { followRevocations } from './follow-revocations.ts'
export { openRevocations, type Revocations } from './open-revocations.ts'
export { type PostgresReadLog, postgresReadLog } from './postgres-read-log.ts'
export {
  boundSeconds,
  entryLifetimeMs,
  malformedRevocations,
  type RevocationTarget,
} from './revocation.ts'
export { type RevocationCache, redisRevocationCache } from './revocation-cache.ts'
export {
  type LongPollNotifier,
  longPollNotifier,
  revocationErrors,
  revocationFeed,
} from './revocation-feed.ts'
export {
  postgresRevocationLog,
  postgresRevocationPurge,
  type RevocationLog,
} from './revocation-log.ts'
export { postgresRevocationNotifier } from './revocation-notifier.ts'
export { type RevocationRouteDeps, revocationRoutes } from './routes.ts'
export { postgresTokenActivity } from './token-activity.ts'
