import { type Names, refuseUnknown } from '../known-members.ts'
import { type CheckAccessTokenOptions, type CheckedToken, createTokenCheck } from './token-check.ts'

const optionNames: Names<CheckAccessTokenOptions> = {
  issuer: true,
  audiences: true,
  keyOf: true,
  clock: true,
  maxCachedTokens: true,
}

/**
 * Checks the signature and the claims of a token strictly, with the caller's keys, but not whether it was revoked. `createVerifier`
 * does both and fetches the keys. Use this function only where keys and revocations are available, as inside Cardea.
 *
 * An ECDSA signature can be rewritten into another valid one, so identify a token by its `jti`, `sid` and `sub`, never by its text
 * (RFC 8725bis section 3.14).
 *
 * The returned function rejects with a `VerifierError` (`token_invalid` or `token_expired`), with its exact reason in `cause`.
 *
 * ```ts
 * const check = checkAccessToken({ issuer, audiences: [issuer], keyOf: (kid) => keys.get(kid), clock: { nowMs: () => Date.now() } })
 * const { claims, kid } = await check(token)
 * ```
 *
 * @throws {TypeError} at once, for invalid options
 */
export const checkAccessToken = (
  options: CheckAccessTokenOptions,
): ((token: string) => Promise<CheckedToken>) => {
  refuseUnknown('checkAccessToken', options, optionNames)
  return createTokenCheck(options).check
}
