/**
 * Owns what operators do: create, change and read accounts and service clients, and revoke what was issued. Every operation is in the audit
 * trail with its actor. It does not decide who is an operator: the access check does, by role, scope and audience.
 */

export { type AdminAccountRouteDeps, adminAccountRoutes } from './account-routes.ts'
export { type Revoke, type Revoked, type RevokeTarget, revoke } from './revoke.ts'
export { type AdminRevokeRouteDeps, adminRevokeRoutes } from './revoke-routes.ts'
export { type AdminClientRouteDeps, adminClientRoutes } from './service-client-routes.ts'
