/**
 * Owns the audit trail: who did what to whom, when, from where, and how it ended. An entry is written in the transaction of
 * the act, so that there is neither an act without its entry nor an entry without its act. It never changes or removes one,
 * and holds sessions and unknown addresses only as keyed hashes.
 */
export {
  type Actor,
  type AuditEvent,
  actorText,
  auditEventNames,
  type RequestFacts,
} from './audit-event.ts'
export type { AuditTrail } from './audit-trail.ts'
export { postgresAuditTrail } from './postgres-audit-trail.ts'
export { keyedReference, type Reference } from './reference.ts'
