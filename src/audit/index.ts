/**
 * Owns the audit trail. An entry has the actor, the operation, its target, time, client address and result. It is written in the transaction
 * of the operation, so neither exists without the other. Entries are never changed. Only the role that owns the table deletes them, by age only.
 * Sessions and unknown addresses are stored only as keyed hashes. `postgresAuditReader` reads the trail.
 */
export {
  type Actor,
  type AuditEvent,
  type AuditPseudonym,
  type AuditTrail,
  auditEventNames,
  auditPseudonym,
  purgeAuditTrail,
  type RequestFacts,
} from './audit-trail.ts'
export {
  type AuditEntry,
  actorText,
  postgresAuditPurge,
  postgresAuditReader,
  postgresAuditTrail,
} from './postgres-audit-trail.ts'
