import type { AccessTokenClaims } from './access-token-claims.ts'
import { TokenRefused } from './token-refused.ts'

/** The maximum lifetime of an access token, seconds. The issuer deletes revocations after it. */
const maximumLifetimeSeconds = 900

/** 16 bytes as base64url. The last character carries 2 bits, so only four characters can be last. */
const idPattern = /^[A-Za-z0-9_-]{21}[AQgw]$/

const refuse = (name: string): never => {
  throw new TokenRefused(`claim ${name} is missing or of the wrong type`)
}

const isText = (value: unknown): value is string => typeof value === 'string'

// These run for every claim of every new token: each checks a value once and returns what to keep.

const text = (name: string, value: unknown): string => (isText(value) ? value : refuse(name))

const id = (name: string, value: unknown): string =>
  isText(value) && idPattern.test(value) ? value : refuse(name)

/** Refuses fractions, infinities and numbers that a double cannot hold exactly. */
const count = (name: string, value: unknown): number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : refuse(name)

const texts = (name: string, value: unknown): readonly string[] =>
  Array.isArray(value) && value.every(isText) ? Object.freeze([...value]) : refuse(name)

const epochs = (name: string, value: unknown): AccessTokenClaims['aep'] => {
  if (!Array.isArray(value) || value.length !== 3) return refuse(name)
  const [global, account, claims]: unknown[] = value
  return Object.freeze([count(name, global), count(name, account), count(name, claims)])
}

type UnreadClaims = { readonly [Name in keyof AccessTokenClaims]?: unknown }

const isUnread = (value: unknown): value is UnreadClaims =>
  typeof value === 'object' && value !== null

/**
 * Copies the known claims by name and freezes them. Everything else in a token, including `__proto__`, is dropped. Cardea sets all of them
 * except `nbf`.
 *
 * @throws {TokenRefused} for claims of the wrong shape, or of a lifetime that Cardea never issues
 */
export const readClaims = (value: unknown): AccessTokenClaims => {
  if (!isUnread(value)) throw new TokenRefused('claims that are no object')
  const claims: AccessTokenClaims = {
    iss: text('iss', value.iss),
    sub: id('sub', value.sub),
    aud: isText(value.aud) ? value.aud : texts('aud', value.aud),
    client_id: text('client_id', value.client_id),
    iat: count('iat', value.iat),
    exp: count('exp', value.exp),
    jti: id('jti', value.jti),
    sid: id('sid', value.sid),
    aep: epochs('aep', value.aep),
    auth_time: count('auth_time', value.auth_time),
    amr: texts('amr', value.amr),
    acr: text('acr', value.acr),
    scope: text('scope', value.scope),
    roles: texts('roles', value.roles),
  }
  const lifetimeSeconds = claims.exp - claims.iat
  if (lifetimeSeconds <= 0 || lifetimeSeconds > maximumLifetimeSeconds) {
    throw new TokenRefused('a lifetime that is never given')
  }
  if (value.nbf === undefined) return Object.freeze(claims)
  return Object.freeze({ ...claims, nbf: count('nbf', value.nbf) })
}
