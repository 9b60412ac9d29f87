import type { Sql } from '../infra/postgres/database.ts'
import type { Clock } from '../lib/clock.ts'
import { idToBytes } from '../lib/id.ts'
import { type AuditEvent, actorText } from './audit-event.ts'
import type { AuditTrail } from './audit-trail.ts'
import type { Reference } from './reference.ts'

const insert = {
  name: 'audit_insert',
  text: `INSERT INTO audit_events (at, event, outcome, reason, actor, account_id, session_reference,
           identifier_reference, address, user_agent, request_id, details)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id`,
}

const referenceOf = (text: string | undefined, reference: Reference): string | undefined =>
  text === undefined ? undefined : reference(text)

/** `onRecord` is told of each entry: its number, and its time in milliseconds. */
export const postgresAuditTrail = (
  sql: Sql,
  clock: Clock,
  reference: Reference,
  onRecord: (id: number, atMs: number) => void = () => undefined,
): AuditTrail => ({
  record: async (event: AuditEvent) => {
    const atMs = clock.nowMs()
    const [row] = await sql.query<{ id: number }>(insert, [
      new Date(atMs),
      event.event,
      event.outcome,
      event.reason,
      actorText(event.actor),
      event.accountId === undefined ? undefined : idToBytes(event.accountId),
      referenceOf(event.sessionId, reference),
      referenceOf(event.identifier, reference),
      event.client?.address,
      event.client?.userAgent,
      event.client?.requestId,
      JSON.stringify(event.details ?? {}),
    ])
    if (row) onRecord(row.id, atMs)
  },
})
