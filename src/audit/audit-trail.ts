import type { AuditEvent } from './audit-event.ts'

export type AuditTrail = {
  /**
   * Adds one entry, in the transaction of the act it tells of: what cannot be recorded does not happen.
   * @throws store_unavailable
   */
  readonly record: (event: AuditEvent) => Promise<void>
}
