import type { AccessTokenClaims } from './access-token-claims.ts'
import { TokenRefused } from './token-refused.ts'

/** The longest life of an access token, seconds: the issuer forgets revocations after it. */
const maximumLifetimeSeconds = 900

const isText = (value: unknown): boolean => typeof value === 'string'

const areTexts = (value: unknown): boolean => Array.isArray(value) && value.every(isText)

/** Refuses fractions, infinities and what a double cannot hold exactly. */
const isCount = (value: unknown): boolean =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

/** 16 bytes as base64url; the last character carries 2 bits of them, so only four can end one. */
const idPattern = /^[A-Za-z0-9_-]{21}[AQgw]$/

const isId = (value: unknown): boolean => typeof value === 'string' && idPattern.test(value)

/** By name of the claim. Cardea sets all of them but `nbf`. */
const shapes: Readonly<Record<keyof AccessTokenClaims, (value: unknown) => boolean>> = {
  iss: isText,
  sub: isId,
  aud: (value) => isText(value) || areTexts(value),
  client_id: isText,
  iat: isCount,
  exp: isCount,
  nbf: (value) => value === undefined || isCount(value),
  jti: isId,
  sid: isId,
  aep: (value) => Array.isArray(value) && value.length === 3 && value.every(isCount),
  auth_time: isCount,
  amr: areTexts,
  acr: isText,
  scope: isText,
  roles: areTexts,
}

/** Made once: this runs for every token that is new. */
const checks = Object.entries(shapes)

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

/** Fails on the first claim that is missing or of another type, and names it. */
const checkShape: (value: unknown) => asserts value is AccessTokenClaims = (value) => {
  if (!isRecord(value)) throw new TokenRefused('claims that are no object')
  for (const [name, isGood] of checks) {
    if (!isGood(value[name]))
      throw new TokenRefused(`claim ${name} is missing or of the wrong type`)
  }
}

/**
 * Copies the claims that are known, by name, and freezes them: whatever else a token holds, `__proto__` included, goes nowhere.
 *
 * @throws {TokenRefused} for claims of the wrong shape, or of a lifetime that Cardea never gives
 */
export const readClaims = (value: unknown): AccessTokenClaims => {
  checkShape(value)
  const lifetimeSeconds = value.exp - value.iat
  if (lifetimeSeconds <= 0 || lifetimeSeconds > maximumLifetimeSeconds) {
    throw new TokenRefused('a lifetime that is never given')
  }
  const [globalEpoch, accountEpoch, claimsEpoch] = value.aep
  return Object.freeze({
    iss: value.iss,
    sub: value.sub,
    aud: typeof value.aud === 'string' ? value.aud : Object.freeze([...value.aud]),
    client_id: value.client_id,
    iat: value.iat,
    exp: value.exp,
    ...(value.nbf === undefined ? {} : { nbf: value.nbf }),
    jti: value.jti,
    sid: value.sid,
    aep: Object.freeze([globalEpoch, accountEpoch, claimsEpoch] as const),
    auth_time: value.auth_time,
    amr: Object.freeze([...value.amr]),
    acr: value.acr,
    scope: value.scope,
    roles: Object.freeze([...value.roles]),
  })
}
