/**
 * Owns the log of what was revoked: how an entry is written, how long it is kept, how it reaches everyone who must refuse what it
 * covers (followers of the feed, this process, those who ask a cache), and when it is dropped; and the check of access tokens that
 * follows from it. It never decides what to revoke: features append to the log inside their own transactions.
 */
export type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
export { bearerCheck, type CheckBearer, type TokenStanding } from './bearer-check.ts'
export { revocationErrors } from './errors.ts'
export { followRevocations } from './follow-revocations.ts'
export { malformedRevocations } from './impossible-revocation.ts'
export { openRevocations, type Revocations } from './open-revocations.ts'
export { postgresReadLog } from './postgres-read-log.ts'
export { postgresRevocationLog, postgresRevocationPurge } from './postgres-revocation-log.ts'
export { postgresRevocationNotices } from './postgres-revocation-notices.ts'
export { redisRevocationMirror } from './redis-revocation-mirror.ts'
export { boundSeconds, entryLifetimeMs, type RevocationTarget } from './revocation.ts'
export { revocationFeed } from './revocation-feed.ts'
export type { RevocationLog } from './revocation-log.ts'
export type { RevocationMirror } from './revocation-mirror.ts'
export { revocationRoutes } from './routes.ts'
export { createWakeUps } from './wake-ups.ts'
