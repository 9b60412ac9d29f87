import { sqlAs } from '../servers/sql.ts'

export type AuditEntry = {
  readonly at: Date
  readonly event: string
  readonly outcome: string
  readonly reason: string | null
  readonly actor: string
  /** base64url, as in the API. */
  readonly account: string | null
  readonly session_reference: string | null
  readonly identifier_reference: string | null
  readonly address: string | null
  readonly user_agent: string | null
  readonly request_id: string | null
  readonly details: Readonly<Record<string, unknown>>
}

/** Gives the entries since it was last asked, oldest first. */
export const auditEntries = (ownerUrl: string): (() => Promise<AuditEntry[]>) => {
  const run = sqlAs(ownerUrl)
  let last = '0'
  return async () => {
    const rows = await run<AuditEntry & { id: string; account_id: Buffer | null }>(
      'SELECT * FROM audit_events WHERE id > $1 ORDER BY id',
      [last],
    )
    last = rows.at(-1)?.id ?? last
    return rows.map(({ account_id: accountId, ...row }) => ({
      ...row,
      account: accountId?.toString('base64url') ?? null,
    }))
  }
}
