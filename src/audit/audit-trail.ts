import type { CallerPresence } from '../lib/caller-presence.ts'
import { keyedHash } from '../lib/signed-bytes.ts'

/** Every recorded event. `docs/reference/events-and-logs.md` explains each, and a test compares the two lists. */
export const auditEventNames = [
  'login_succeeded',
  'login_failed',
  'login_limited',
  'login_locked',
  'token_reuse',
  'refresh_response_lost',
  'generation_recovered',
  'session_reauthenticated',
  'session_ended',
  'logout',
  'token_revoked',
  'account_revoked',
  'everyone_revoked',
  'account_created',
  'account_changed',
  'email_changed',
  'password_changed',
  'service_client_created',
  'service_client_disabled',
  'service_client_revoked',
  'service_client_secret_added',
  'service_client_secret_revoked',
  'signing_key_added',
  'signing_key_rotation_planned',
  'signing_key_rotated',
  'signing_key_erased',
  'signing_key_revoked',
  'data_lost',
  'operator_read',
  'audit_purged',
] as const

export type AuditEventName = (typeof auditEventNames)[number]

/** Where a request came from, as far as trusted proxies report it, and whether its caller is still connected. */
export type RequestFacts = CallerPresence & {
  readonly address: string
  /** Set by the client. Escaped and truncated when it was read. */
  readonly userAgent: string | undefined
  readonly requestId: string
}

/** Who did it: a logged-in account, a service client, an operator on the command line, or the service itself. */
export type Actor =
  | { readonly kind: 'account'; readonly accountId: string }
  | { readonly kind: 'client'; readonly clientId: string }
  | { readonly kind: 'command-line' }
  | { readonly kind: 'system' }
  | { readonly kind: 'anonymous' }

export type AuditEvent = {
  readonly event: AuditEventName
  readonly outcome: 'success' | 'failure'
  /** Why: the same code as in the error and on the session. */
  readonly reason?: string
  readonly actor: Actor
  /** The account that the event is about. Absent when no account has the given identifier. */
  readonly accountId?: string
  readonly sessionId?: string
  /** What was entered as an e-mail address. Only its keyed hash is stored, because people enter passwords there. */
  readonly identifier?: string
  readonly client?: RequestFacts
  /** Facts about this kind of event. Never a secret and never personal data. */
  readonly details?: Readonly<Record<string, string | number | boolean | readonly string[]>>
}

/** Replaces an id or an address by a short keyed hash for the trail and the log. */
export type AuditPseudonym = (text: string) => string

export const auditPseudonym = (key: Buffer): AuditPseudonym => keyedHash(key, 16)

export type AuditTrail = {
  /**
   * Adds one entry, in the transaction of the operation: an operation that cannot be recorded does not happen.
   * @throws store_unavailable
   */
  readonly record: (event: AuditEvent) => Promise<void>
}

export type AuditPurge = {
  /**
   * Deletes at most this many entries from before the time, the oldest first. Returns how many.
   * @throws store_unavailable
   */
  readonly remove: (beforeMs: number, most: number) => Promise<number>
}

export type PurgeStores = { readonly audit: AuditTrail; readonly purge: AuditPurge }

export type PurgeAuditTrailDeps = {
  /** Runs transactions with the role that owns the trail. */
  readonly inTransaction: <T>(work: (stores: PurgeStores) => Promise<T>) => Promise<T>
}

/** The number of entries in one transaction, so that each is short. */
const batchEntries = 10_000

/**
 * Permanently deletes the entries from before a time. The first transaction that deletes some records it, so that the trail says where it
 * begins.
 * @returns how many
 */
export const purgeAuditTrail =
  ({ inTransaction }: PurgeAuditTrailDeps) =>
  async (beforeMs: number, actor: Actor): Promise<number> => {
    let removed = 0
    for (;;) {
      const isFirst = removed === 0
      const batch = await inTransaction(async ({ audit, purge }) => {
        const count = await purge.remove(beforeMs, batchEntries)
        if (isFirst && count > 0) {
          const details = { before: new Date(beforeMs).toISOString() }
          await audit.record({ event: 'audit_purged', outcome: 'success', actor, details })
        }
        return count
      })
      removed += batch
      if (batch < batchEntries) return removed
    }
  }
