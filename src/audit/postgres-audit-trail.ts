import type { Sql } from '../infra/postgres/database.ts'
import { type Clock, idFromBytes, idToBytes } from '../lib/machine.ts'
import type { Actor, AuditEvent, AuditPseudonym, AuditPurge, AuditTrail } from './audit-trail.ts'

const insert = {
  name: 'audit_insert',
  text: `INSERT INTO audit_events (at, event, outcome, reason, actor, account_id, session_reference,
           identifier_reference, address, user_agent, request_id, details)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id`,
}

const purge = { name: 'audit_purge', text: 'SELECT purge_audit_events($1, $2) AS removed' }

/** Needs the role that owns the table. The application's role may not delete. */
export const postgresAuditPurge = (sql: Sql): AuditPurge => ({
  remove: async (beforeMs, most) => {
    const values = [new Date(beforeMs), most]
    const [row] = await sql.query<{ removed: number }>(purge, values)
    return row?.removed ?? 0
  },
})

/** The actor as text, in the trail and in the revocation log. */
export const actorText = (actor: Actor): string => {
  if (actor.kind === 'account') return `account:${actor.accountId}`
  return actor.kind === 'client' ? `client:${actor.clientId}` : actor.kind
}

const referenceOf = (text: string | undefined, reference: AuditPseudonym): string | undefined =>
  text === undefined ? undefined : reference(text)

/** `onRecord` is called with the number of each entry and its time in milliseconds. */
export const postgresAuditTrail = (
  sql: Sql,
  clock: Clock,
  reference: AuditPseudonym,
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

/** One entry of the trail. */
export type AuditEntry = {
  /** Entries are numbered in the order in which they were started. */
  readonly id: number
  readonly atMs: number
  readonly event: string
  readonly outcome: string
  readonly reason: string | undefined
  readonly actor: string
  readonly accountId: string | undefined
  readonly address: string | undefined
  readonly userAgent: string | undefined
  readonly requestId: string | undefined
  readonly details: Readonly<Record<string, unknown>>
}

export type AuditPage = {
  /** Only entries about this account. */
  readonly accountId?: string | undefined
  /** Only entries before this one. */
  readonly beforeId?: number | undefined
  readonly limit: number
}

export type AuditReader = {
  /** Newest first. */
  readonly list: (page: AuditPage) => Promise<AuditEntry[]>
  /** Zero for an empty trail. */
  readonly newestId: () => Promise<number>
  /** The first entry of a request, among those after `afterId`. */
  readonly findByRequest: (requestId: string, afterId: number) => Promise<AuditEntry | undefined>
}

type Row = {
  readonly [Name in keyof Omit<AuditEntry, 'atMs' | 'accountId'>]: AuditEntry[Name] | null
} & { readonly id: number; readonly at: Date; readonly account_id: Buffer | null }

const columns = `id, at, event, outcome, reason, actor, account_id, address, user_agent AS "userAgent",
  request_id AS "requestId", details`

/** Two statements: one with an optional condition has a single plan, which reads the whole table in one of the cases. */
const listAll = {
  name: 'audit_list',
  text: `SELECT ${columns} FROM audit_events WHERE id < $1 ORDER BY id DESC LIMIT $2`,
}
const listOfAccount = {
  name: 'audit_list_of_account',
  text: `SELECT ${columns} FROM audit_events
    WHERE account_id = $3 AND id < $1 ORDER BY id DESC LIMIT $2`,
}
const newest = {
  name: 'audit_newest',
  text: 'SELECT coalesce(max(id), 0) AS id FROM audit_events',
}
const ofRequest = {
  name: 'audit_of_request',
  text: `SELECT ${columns} FROM audit_events WHERE id > $1 AND request_id = $2 ORDER BY id LIMIT 1`,
}

const entryOf = ({ id, at, account_id: account, ...row }: Row): AuditEntry => ({
  id,
  atMs: at.getTime(),
  event: row.event ?? '',
  outcome: row.outcome ?? '',
  reason: row.reason ?? undefined,
  actor: row.actor ?? '',
  accountId: account ? idFromBytes(account) : undefined,
  address: row.address ?? undefined,
  userAgent: row.userAgent ?? undefined,
  requestId: row.requestId ?? undefined,
  details: row.details ?? {},
})

export const postgresAuditReader = (sql: Sql): AuditReader => ({
  list: async ({ accountId, beforeId = Number.MAX_SAFE_INTEGER, limit }) => {
    const rows =
      accountId === undefined
        ? await sql.query<Row>(listAll, [beforeId, limit])
        : await sql.query<Row>(listOfAccount, [beforeId, limit, idToBytes(accountId)])
    return rows.map(entryOf)
  },
  newestId: async () => {
    const [row] = await sql.query<{ id: number }>(newest)
    return row?.id ?? 0
  },
  findByRequest: async (requestId, afterId) => {
    const [row] = await sql.query<Row>(ofRequest, [afterId, requestId])
    return row && entryOf(row)
  },
})
