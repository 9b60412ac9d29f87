import {
  type AccessTokenClaims,
  checkAccessToken,
  type VerificationKey,
  VerifierError,
} from '../../packages/verifier/src/index.ts'
import type { Replica } from '../../packages/verifier/src/replica.ts'
import type { Clock } from '../lib/clock.ts'
import { tokenErrors } from '../lib/token-errors.ts'

/** What decides whether a token still stands: its verified claims, and the key that signed it. */
export type TokenStanding = {
  readonly claims: AccessTokenClaims
  readonly kid: string
  readonly nowMs: number
}

export type CheckBearerDeps = {
  readonly issuer: string
  /** A token for any one of these is accepted; at least one. */
  readonly audiences: readonly string[]
  readonly verificationKey: (kid: string) => VerificationKey | undefined
  readonly clock: Pick<Clock, 'nowMs'>
  readonly replica: Pick<Replica, 'state' | 'covers'>
  /** Asks the truth itself; throws `store_unavailable` when it cannot. */
  readonly stands: (standing: TokenStanding) => Promise<boolean>
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
  stands,
  clock,
  verificationKey,
  ...options
}: CheckBearerDeps): CheckBearer => {
  const check = checkAccessToken({ ...options, clock, keyOf: verificationKey })
  return async (token) => {
    const { claims, kid } = await check(token).catch((error: unknown) => {
      throw refusal(error)
    })
    const { sub, sid, jti, aep } = claims
    const kind = replica.covers({ sub, sid, jti, kid, aep })
    // Also of a stale replica: what was revoked stays revoked.
    if (kind !== undefined) throw revoked(`revoked by ${kind}`)
    if (replica.state() === 'FRESH') return claims
    if (!(await stands({ claims, kid, nowMs: clock.nowMs() })))
      throw revoked('does not stand any more')
    return claims
  }
}
