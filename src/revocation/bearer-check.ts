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

/** What decides whether a token is active: its verified claims and the key that signed it. */
export type TokenStanding = {
  readonly claims: AccessTokenClaims
  readonly kid: string
  readonly nowMs: number
}

/** Whether a token with these verified claims is active, according to the tables. */
export type IsTokenActive = (standing: TokenStanding) => Promise<boolean>

export type CheckBearerDeps = {
  readonly issuer: string
  /** A token for any of these is accepted. At least one. */
  readonly audiences: readonly string[]
  readonly verificationKey: (kid: string) => VerificationKey | undefined
  readonly clock: Pick<Clock, 'nowMs'>
  readonly replica: Pick<Replica, 'state' | 'revokedBy'>
  /** Queries Postgres. Throws `store_unavailable` when it cannot. */
  readonly isTokenActive: IsTokenActive
}

export type CheckBearer = (token: string) => Promise<AccessTokenClaims>

/**
 * Maps a defect of the token to a 401. Other errors are faults of the service and must not become a 401, which would log the caller out.
 */
const refusal = (error: unknown): unknown =>
  error instanceof VerifierError && error.status === 401
    ? tokenErrors.error('invalid_token', { cause: error })
    : error

const revoked = (how: string) => tokenErrors.error('invalid_token', { cause: new Error(how) })

/**
 * The service's own check of access tokens: signature, claims and revocations, all in memory. While the replica cannot prove that it is
 * complete, one statement asks Postgres instead. This process knows its own revocations at the commit, and those of other processes within
 * the bound of every verifier.
 * @throws invalid_token, or store_unavailable when it cannot decide
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
    // Also checked in a stale replica: a revocation stays valid.
    if (kind !== undefined) throw revoked(`revoked by ${kind}`)
    if (replica.state() === 'FRESH') return claims
    if (!(await isTokenActive({ claims, kid, nowMs: clock.nowMs() })))
      throw revoked('is not active any more')
    return claims
  }
}

/** For routes of users. A token of a service client logs nobody in, so it is refused there. */
export const personBearerCheck = (check: CheckBearer): CheckBearer =>
  async function checkPerson(token) {
    const claims = await check(token)
    if (!isServiceToken(claims)) return claims
    throw tokenErrors.error('invalid_token', { cause: new Error('of a service, not of a person') })
  }

/** The caller, from the verified claims of a token. */
export const callerFrom = (claims: AccessTokenClaims) => ({
  accountId: claims.sub,
  sessionId: claims.sid,
  tokenId: claims.jti,
  roles: claims.roles,
  scopes: claims.scope.split(' '),
  audience: typeof claims.aud === 'string' ? [claims.aud] : claims.aud,
})
