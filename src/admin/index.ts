/**
 * Owns what operators do: adding, changing and looking at accounts and service clients, and taking back what was issued. Every act is
 * in the audit trail with its actor. It never decides who is an operator; the edge does, by role, scope and audience.
 */

export { type AdminAccountRouteDeps, adminAccountRoutes } from './account-routes.ts'
export { type Revoke, type Revoked, type RevokeTarget, revoke } from './revoke.ts'
export { type AdminRevokeRouteDeps, adminRevokeRoutes } from './revoke-routes.ts'
export { type AdminClientRouteDeps, adminClientRoutes } from './service-client-routes.ts'
