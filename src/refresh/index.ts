/**
 * Owns the refresh: how a handle moves its session to the next generation, what a lost response means, and how theft is detected. Only the
 * handle decides between a client and a thief.
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
