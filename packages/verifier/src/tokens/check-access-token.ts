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
 * Checks everything a token says about itself, strictly, with keys that the caller has; not whether it was revoked. `createVerifier`
 * does both and fetches the keys: use this one only where keys and revocations are at hand, as inside of Cardea.
 *
 * An ECDSA signature can be rewritten into another one that verifies too, so know a token by its `jti`, `sid` and `sub`, never by
 * its text (RFC 8725bis section 3.14).
 *
 * The function that is returned rejects with a `VerifierError` (`token_invalid` or `token_expired`), its exact reason in `cause`.
 *
 * ```ts
 * const check = checkAccessToken({ issuer, audiences: [issuer], keyOf: (kid) => keys.get(kid), clock: { nowMs: () => Date.now() } })
 * const { claims, kid } = await check(token)
 * ```
 *
 * @throws {TypeError} at once, for options that cannot be
 */
export const checkAccessToken = (
  options: CheckAccessTokenOptions,
): ((token: string) => Promise<CheckedToken>) => {
  refuseUnknown('checkAccessToken', options, optionNames)
  return createTokenCheck(options).check
}
