import type { CallerPresence } from '../lib/caller-presence.ts'

/** Every act that is recorded. `docs/reference/events-and-logs.md` explains each, and a test holds the two together. */
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
] as const

export type AuditEventName = (typeof auditEventNames)[number]

/** Where a request came from, as far as trusted proxies vouch for it, and whether somebody still waits there. */
export type RequestFacts = CallerPresence & {
  readonly address: string
  /** Escaped and truncated where it was read: it is the client's text. */
  readonly userAgent: string | undefined
  readonly requestId: string
}

/** Who did it: an account signed in to the service, a service client, the command line of an operator, or the service itself. */
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
  /** Whom it concerns; absent when nobody is known by the identifier that was given. */
  readonly accountId?: string
  readonly sessionId?: string
  /** What was typed as an e-mail address: stored as a keyed hash only, since people type passwords there. */
  readonly identifier?: string
  readonly client?: RequestFacts
  /** Facts of this kind of event; never a secret, never personal data. */
  readonly details?: Readonly<Record<string, string | number | boolean | readonly string[]>>
}

/** How the actor is written in the trail and beside a revocation. */
export const actorText = (actor: Actor): string => {
  if (actor.kind === 'account') return `account:${actor.accountId}`
  return actor.kind === 'client' ? `client:${actor.clientId}` : actor.kind
}
