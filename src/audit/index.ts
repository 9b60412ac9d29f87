/**
 * Owns the audit trail: who did what to whom, when, from where, and how it ended. An entry is written in the transaction of
 * the act, so that there is neither an act without its entry nor an entry without its act. It never changes one, removes them by
 * age only and for nobody but their owner, and holds sessions and unknown addresses only as keyed hashes. `postgresAuditReader` reads.
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
