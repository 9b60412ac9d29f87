import { createHash } from 'node:crypto'
import { defineErrors } from '../lib/app-error.ts'
import type { Random } from '../lib/machine.ts'
import { accountScope, adminScope, isScopeToken, sessionErrors } from '../sessions/index.ts'

/** A program that calls the service as itself: a replica that follows revocations, or a service that requests its own tokens. */
export type ServiceClient = {
  readonly clientId: string
  readonly name: string
  /** The scopes of its tokens, distinct and in the given order. */
  readonly scopes: readonly string[]
  /** The audiences for which it may request tokens, the default first. Empty: it gets no token. */
  readonly audiences: readonly string[]
  /** The owning account, with which it ends. Absent: none. */
  readonly ownerId?: string
  readonly createdAtMs: number
  /** When it was permanently disabled. Absent while it is enabled. */
  readonly disabledAtMs?: number
}

/** One of its secrets. Only the digest is stored. */
export type ClientSecret = {
  readonly digest: Buffer
  readonly createdAtMs: number
  /** Absent while it is valid. */
  readonly revokedAtMs?: number
}

const name = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** Letters, digits, dots, underscores and hyphens, because the name appears in terminals and in the audit trail. */
export const isServiceClientName = (text: string): boolean => name.test(text)

const secretBytes = 32

/** 32 bytes in base64url, in the one canonical spelling: the last character carries 4 bits, so only sixteen characters can be last. */
const secret = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

export const isServiceClientSecret = (text: string): boolean => secret.test(text)

export const newServiceClientSecret = (random: Random): string =>
  random(secretBytes).toString('base64url')

/**
 * The stored digest of a secret. A fast hash is enough: 256 random bits cannot be guessed (OWASP ASVS 5.0, 11.5.1). So the database
 * contains no credentials.
 *
 * @param text a secret in its canonical form, as `isServiceClientSecret` accepts it
 */
export const secretDigest = (text: string): Buffer =>
  createHash('sha256').update(Buffer.from(text, 'base64url')).digest()

const secretIdLength = 8

/** The id of a secret in lists and for revocation: 48 bits of its digest, enough to distinguish a few secrets and useless for guessing. */
export const secretIdOf = (digest: Buffer): string =>
  digest.toString('base64url').slice(0, secretIdLength)

export const secretIdPattern = `^[A-Za-z0-9_-]{${secretIdLength}}$`

const maxScopes = 32

/** The scopes of this service's own routes for users. A service client with one would be treated as a logged-in user. */
const reserved: readonly string[] = [accountScope, adminScope]

/** Whether a service client may have these scopes. */
export const areClientScopes = (scopes: readonly string[]): boolean =>
  scopes.length <= maxScopes &&
  scopes.every((scope) => isScopeToken(scope) && !reserved.includes(scope))

/** Errors about a service client, or for one. */
export const oauthErrors = defineErrors({
  invalid_client_name: { status: 400, title: 'The name of the service client cannot be used.' },
  invalid_client_scope: {
    status: 400,
    title: 'The scopes of the service client cannot be used.',
  },
  unknown_client_audience: {
    status: 400,
    title: 'This service issues no tokens for one of these audiences.',
  },
  invalid_client_owner: { status: 400, title: 'The owner must be an active account.' },
  client_not_found: { status: 404, title: 'There is no such service client.' },
  client_secret_not_found: { status: 404, title: 'The service client has no such secret.' },
  client_name_taken: { status: 409, title: 'A service client with this name exists already.' },
  client_disabled: { status: 409, title: 'The service client is permanently disabled.' },
  too_many_client_secrets: {
    status: 409,
    title: 'The service client has the maximum number of live secrets. Revoke one first.',
  },
  last_client_secret: {
    status: 409,
    title: 'This is the last live secret of the service client. Disable the client instead.',
  },
  // The following codes are those of RFC 6749 section 5.2, RFC 8707 section 2 and RFC 7009 section 2.2.1, and are sent unchanged.
  unsupported_grant_type: { status: 400, title: 'This grant type is not supported.' },
  invalid_grant: {
    status: 400,
    title: 'The token is not valid, or was issued to another client.',
  },
  invalid_scope: sessionErrors.definitions.invalid_scope,
  invalid_target: sessionErrors.definitions.invalid_target,
  unauthorized_client: { status: 400, title: 'This client may not request tokens.' },
  unsupported_token_type: { status: 400, title: 'A token of this kind is not revoked here.' },
})

const time = (ms: number): string => new Date(ms).toISOString()

/** A service client as operators see it, over HTTP and on the command line, without its secrets. */
export const describeClient = (client: ServiceClient) => ({
  client_id: client.clientId,
  name: client.name,
  scopes: [...client.scopes],
  audiences: [...client.audiences],
  ...(client.ownerId !== undefined && { owner: client.ownerId }),
  created_at: time(client.createdAtMs),
  ...(client.disabledAtMs !== undefined && { disabled_at: time(client.disabledAtMs) }),
})

export type DescribeClient = ReturnType<typeof describeClient>

/** One of its secrets: its dates, and the id to revoke it. */
export const describeClientSecret = ({ digest, createdAtMs, revokedAtMs }: ClientSecret) => ({
  secret_id: secretIdOf(digest),
  created_at: time(createdAtMs),
  ...(revokedAtMs !== undefined && { revoked_at: time(revokedAtMs) }),
})
