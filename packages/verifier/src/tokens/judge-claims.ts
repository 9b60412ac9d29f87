import { VerifierError } from '../errors.ts'
import type { AccessTokenClaims } from './access-token-claims.ts'
import { TokenRefused } from './token-refused.ts'

/**
 * The tolerance for clock differences, seconds (RFC 9068 section 4 allows a few minutes). The issuer keeps revocations that much longer.
 */
const leewaySeconds = 30

/** The accepted issuer and audiences. The token must have one of the audiences. */
export type Expected = { readonly issuer: string; readonly audiences: readonly string[] }

const maxShownValues = 3
const maxShownLength = 100

/**
 * A claim's text for a log. The signature may not have been checked yet, so anyone can have written it: it is shortened, and contains
 * nothing that starts a line or controls a terminal.
 */
const shownName = (name: string): string => {
  const plain = name.slice(0, maxShownLength).replace(/[^\x21\x23-\x7e]/g, '?')
  return `"${plain}${name.length > maxShownLength ? '…' : ''}"`
}

const mismatchText = (expected: readonly string[], found: readonly string[]): string => {
  const shown = found.slice(0, maxShownValues).map(shownName).join(', ')
  const more = found.length > maxShownValues ? ', …' : ''
  return `expected ${expected.join(' or ')}, not ${shown || 'none'}${more}`
}

/**
 * Checks what may change with time or differ between services. Called for every use of a token, even if its signature is cached.
 *
 * @throws {VerifierError} `token_expired`
 * @throws {TokenRefused} for everything else
 */
export const judgeClaims = (claims: AccessTokenClaims, expected: Expected, nowMs: number): void => {
  if (claims.iss !== expected.issuer) {
    throw new TokenRefused(`of another issuer, ${mismatchText([expected.issuer], [claims.iss])}`)
  }
  const { aud } = claims
  const isForUs =
    typeof aud === 'string'
      ? expected.audiences.includes(aud)
      : aud.some((one) => expected.audiences.includes(one))
  if (!isForUs) {
    const found = typeof aud === 'string' ? [aud] : aud
    throw new TokenRefused(`for another audience, ${mismatchText(expected.audiences, found)}`)
  }
  const nowSeconds = Math.floor(nowMs / 1000)
  if (claims.iat > nowSeconds + leewaySeconds) throw new TokenRefused('issued in the future')
  if (claims.nbf !== undefined && claims.nbf > nowSeconds + leewaySeconds) {
    throw new TokenRefused('not valid yet')
  }
  if (claims.exp <= nowSeconds - leewaySeconds) throw new VerifierError('token_expired')
}
