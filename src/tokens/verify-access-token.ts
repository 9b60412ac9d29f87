import { errors, jwtVerify } from 'jose'
import { Compile } from 'typebox/compile'
import type { VerificationKey } from '../keys/index.ts'
import type { Clock } from '../lib/clock.ts'
import {
  type AccessTokenClaims,
  accessTokenClaimsSchema,
  maximumLifetimeSeconds,
} from './claims.ts'
import { tokenErrors } from './errors.ts'
import { decodePart, readHeader, splitToken, TokenRefused } from './jws-format.ts'
import { accessTokenType } from './mint-access-token.ts'

type Dependencies = {
  readonly verificationKey: (kid: string) => VerificationKey | undefined
  readonly issuer: string
  /** A token for any one of these is accepted; at least one. */
  readonly audiences: readonly string[]
  readonly clock: Clock
}

/** Rejects with `invalid_token` (401), the exact reason only in its `cause`. */
export type VerifyAccessToken = (token: string) => Promise<AccessTokenClaims>

/** For clocks of other instances that are not quite right (RFC 9068 section 4 allows a few minutes). */
const leewaySeconds = 30

const requiredClaims = ['iss', 'aud', 'sub', 'client_id', 'iat', 'exp', 'jti']

const accessTokenClaims = Compile(accessTokenClaimsSchema)

/** What `jwtVerify` lets through: wrong types, infinite or far-off times, a future `iat`, a life that never ends. */
const checkClaims = (claims: unknown, nowMs: number): AccessTokenClaims => {
  if (!accessTokenClaims.Check(claims)) throw new TokenRefused('claims of the wrong shape')
  if (claims.iat > nowMs / 1000 + leewaySeconds) throw new TokenRefused('issued in the future')
  const lifetimeSeconds = claims.exp - claims.iat
  if (lifetimeSeconds <= 0 || lifetimeSeconds > maximumLifetimeSeconds) {
    throw new TokenRefused('a lifetime that is never given')
  }
  return claims
}

const verify = async (deps: Dependencies, token: string): Promise<AccessTokenClaims> => {
  const [headerPart, claimsPart] = splitToken(token)
  const header = readHeader(headerPart, accessTokenType)
  // The token says which of our keys, never what key: an unknown kid is refused, and nothing is fetched.
  const key = deps.verificationKey(header.kid)
  if (key === undefined) throw new TokenRefused('unknown kid')
  if (key.algorithm !== header.alg) throw new TokenRefused('alg is not that of the key')
  const nowMs = deps.clock.nowMs()
  await jwtVerify(token, key.key, {
    algorithms: [key.algorithm],
    typ: accessTokenType,
    issuer: deps.issuer,
    audience: [...deps.audiences],
    requiredClaims,
    clockTolerance: leewaySeconds,
    currentDate: new Date(nowMs),
  })
  // The claims that are used are those of our own, stricter parser.
  return checkClaims(decodePart(claimsPart), nowMs)
}

/**
 * Checks everything a token says about itself; not whether it was revoked. An ECDSA signature can be rewritten into another
 * one that verifies too, so callers know a token by its `jti`, `sid` and `sub`, never by its text (RFC 8725bis section 3.14).
 */
export const verifyAccessToken = (deps: Dependencies): VerifyAccessToken => {
  // With an empty list jose checks no audience at all.
  if (deps.audiences.length === 0) throw new TypeError('at least one audience is needed')
  return async (token) => {
    try {
      return await verify(deps, token)
    } catch (error) {
      // Anything else is a fault of ours and must not look like a bad token: it would sign the caller out.
      const isRefusal = error instanceof TokenRefused || error instanceof errors.JOSEError
      throw isRefusal ? tokenErrors.error('invalid_token', { cause: error }) : error
    }
  }
}
