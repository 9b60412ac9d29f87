/**
 * Owns what operators do: adding, changing and looking at accounts and service clients, and taking back what was issued. Every act is
 * in the audit trail with its actor. It never decides who is an operator; the edge does, by role, scope and audience.
 */

export { type AdminRouteDeps, adminRoutes } from './accounts.ts'
export { type AdminClientRouteDeps, adminClientRoutes } from './clients.ts'
export { type Revoke, type Revoked, type RevokeTarget, revoke } from './revoke.ts'
