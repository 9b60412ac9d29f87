/**
 * Owns the refresh: how a handle moves its session on, what a lost response means, and how theft is told from it. It never tells a client
 * apart from a thief by anything but the handle.
 */

export {
  decideRefresh,
  type RefreshRules,
  type RequestedGrant,
} from './decide-refresh.ts'
export {
  isRevokedBy,
  type RefreshSession,
  refreshSession,
} from './refresh-session.ts'
export {
  batchedRotations,
  postgresRotationStore,
  type RotationAttempt,
  type RotationStore,
} from './rotation-store.ts'
export { type RefreshRouteDeps, refreshRoutes, requestedGrant } from './routes.ts'
