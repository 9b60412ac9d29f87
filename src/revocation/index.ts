/**
 * Owns the log of what was revoked: how an entry is written, how long it is kept, how it is spread to those who ask a cache, and
 * when it is dropped. It never decides what to revoke; features append to the log inside their own transactions.
 */
export { followRevocations } from './follow-revocations.ts'
export {
  postgresRevocationFeed,
  postgresRevocationLog,
  postgresRevocationPurge,
} from './postgres-revocation-log.ts'
export { redisRevocationMirror } from './redis-revocation-mirror.ts'
export {
  boundSeconds,
  entryLifetimeMs,
  type Revocation,
  type RevocationTarget,
} from './revocation.ts'
export type { RevocationLog } from './revocation-log.ts'
export type { RevocationMirror } from './revocation-mirror.ts'
