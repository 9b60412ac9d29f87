import {
  type AccessTokenClaims,
  checkAccessToken,
  type VerificationKey,
  VerifierError,
} from '../../packages/verifier/src/index.ts'
import type { Replica } from '../../packages/verifier/src/replica.ts'
import { tokenErrors } from '../lib/app-error.ts'
import type { Clock } from '../lib/machine.ts'
import { isServiceToken } from '../tokens/index.ts'

/** What decides whether a token is still active: its verified claims, and the key that signed it. */
export type TokenStanding = {
  readonly claims: AccessTokenClaims
  readonly kid: string
  readonly nowMs: number
}

/** Whether a token with these verified claims is still active, by the tables. */
export type IsTokenActive = (standing: TokenStanding) => Promise<boolean>

export type CheckBearerDeps = {
  readonly issuer: string
  /** A token for any one of these is accepted; at least one. */
  readonly audiences: readonly string[]
  readonly verificationKey: (kid: string) => VerificationKey | undefined
  readonly clock: Pick<Clock, 'nowMs'>
  readonly replica: Pick<Replica, 'state' | 'revokedBy'>
  /** Asks the truth itself; throws `store_unavailable` when it cannot. */
  readonly isTokenActive: IsTokenActive
}

export type CheckBearer = (token: string) => Promise<AccessTokenClaims>

/** A defect of the token; anything else is a fault of ours and must not look like one: it would sign the caller out. */
const refusal = (error: unknown): unknown =>
  error instanceof VerifierError && error.status === 401
    ? tokenErrors.error('invalid_token', { cause: error })
    : error

const revoked = (how: string) => tokenErrors.error('invalid_token', { cause: new Error(how) })

/**
 * The service's own check of an access token: signature, claims and what is revoked, all in memory. While the replica cannot prove
 * that it is complete, one statement asks Postgres instead. What this instance revokes it knows at the commit; what another one
 * revokes within the bound of every verifier.
 * @throws invalid_token, or store_unavailable when it cannot be known
 */
export const bearerCheck = ({
  replica,
  isTokenActive,
  clock,
  verificationKey,
  issuer,
  audiences,
}: CheckBearerDeps): CheckBearer => {
  const check = checkAccessToken({ issuer, audiences, clock, keyOf: verificationKey })
  return async function checkBearer(token) {
    const { claims, kid } = await check(token).catch((error: unknown) => {
      throw refusal(error)
    })
    const { sub, sid, jti, aep } = claims
    const kind = replica.revokedBy({ sub, sid, jti, kid, aep })
    // Also of a stale replica: what was revoked stays revoked.
    if (kind !== undefined) throw revoked(`revoked by ${kind}`)
    if (replica.state() === 'FRESH') return claims
    if (!(await isTokenActive({ claims, kid, nowMs: clock.nowMs() })))
      throw revoked('is not active any more')
    return claims
  }
}

/** For routes of people: nobody is logged in by a service's token, so whoever shows one there is nobody. */
export const personBearerCheck = (check: CheckBearer): CheckBearer =>
  async function checkPerson(token) {
    const claims = await check(token)
    if (!isServiceToken(claims)) return claims
    throw tokenErrors.error('invalid_token', { cause: new Error('of a service, not of a person') })
  }

/** Who calls, by the verified claims of a token. */
export const callerFrom = (claims: AccessTokenClaims) => ({
  accountId: claims.sub,
  sessionId: claims.sid,
  tokenId: claims.jti,
  roles: claims.roles,
  scopes: claims.scope.split(' '),
  audience: typeof claims.aud === 'string' ? [claims.aud] : claims.aud,
})
