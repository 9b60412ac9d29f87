import { createHash } from 'node:crypto'
import type { Random } from '../lib/random.ts'

/** Another program that calls the service as itself: a replica that follows revocations, a service that asks for tokens of its own. */
export type ServiceClient = {
  readonly clientId: string
  readonly name: string
  /** What its tokens may say it may do; without repetition, in the order they were given. */
  readonly scopes: readonly string[]
  /** For whom it may ask for tokens, the default first; none: it gets no token. */
  readonly audiences: readonly string[]
  /** The account it belongs to and ends with; absent: it is nobody's. */
  readonly ownerId?: string
  readonly createdAtMs: number
  /** When it was disabled, for good; absent while it may call. */
  readonly disabledAtMs?: number
}

/** One of its secrets, of which only the digest is kept. */
export type ClientSecret = {
  readonly digest: Buffer
  readonly createdAtMs: number
  /** Absent while it lets the client in. */
  readonly revokedAtMs?: number
}

const name = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** Letters, digits, dots, underscores and hyphens: the name is shown in terminals and stands in the audit trail. */
export const isServiceClientName = (text: string): boolean => name.test(text)

const secretBytes = 32

/** 32 bytes in base64url, in the one canonical spelling: the last character carries 4 bits, so only sixteen can end it. */
const secret = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

export const isServiceClientSecret = (text: string): boolean => secret.test(text)

export const newServiceClientSecret = (random: Random): string =>
  random(secretBytes).toString('base64url')

/**
 * What is kept of a secret. A fast hash is enough: 256 random bits cannot be tried out (OWASP ASVS 5.0, 11.5.1), and nothing in the
 * database is a credential then.
 *
 * @param text a secret in its canonical form, as `isServiceClientSecret` accepts it
 */
export const secretDigest = (text: string): Buffer =>
  createHash('sha256').update(Buffer.from(text, 'base64url')).digest()

const secretIdLength = 8

/** What a secret is called where it is listed and revoked. 48 bits of its digest: enough to tell a handful apart, and no use in guessing it. */
export const secretIdOf = (digest: Buffer): string =>
  digest.toString('base64url').slice(0, secretIdLength)

export const secretIdPattern = `^[A-Za-z0-9_-]{${secretIdLength}}$`
