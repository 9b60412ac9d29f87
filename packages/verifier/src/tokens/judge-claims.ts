import { VerifierError } from '../errors.ts'
import type { AccessTokenClaims } from './access-token-claims.ts'
import { TokenRefused } from './token-refused.ts'

/** For clocks that are not quite right, seconds (RFC 9068 section 4 allows a few minutes). The issuer keeps revocations that much longer. */
const leewaySeconds = 30

/** Whose tokens are taken, and for whom they must be meant: any one of the audiences. */
export type Expected = { readonly issuer: string; readonly audiences: readonly string[] }

/**
 * What holds for a token now and may not hold a second later or in another service. Asked for every use of a token, whether or not its
 * signature is remembered.
 *
 * @throws {VerifierError} `token_expired`
 * @throws {TokenRefused} for all else
 */
export const judgeClaims = (claims: AccessTokenClaims, expected: Expected, nowMs: number): void => {
  if (claims.iss !== expected.issuer) throw new TokenRefused('of another issuer')
  const { aud } = claims
  const isForUs =
    typeof aud === 'string'
      ? expected.audiences.includes(aud)
      : aud.some((one) => expected.audiences.includes(one))
  if (!isForUs) throw new TokenRefused('for another audience')
  const nowSeconds = Math.floor(nowMs / 1000)
  if (claims.iat > nowSeconds + leewaySeconds) throw new TokenRefused('issued in the future')
  if (claims.nbf !== undefined && claims.nbf > nowSeconds + leewaySeconds) {
    throw new TokenRefused('not valid yet')
  }
  if (claims.exp <= nowSeconds - leewaySeconds) throw new VerifierError('token_expired')
}
