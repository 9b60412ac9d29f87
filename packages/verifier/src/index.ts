/**
 * `@cardea/verifier`: verifies access tokens of Cardea in memory, without a network call, and refuses revoked ones within five
 * seconds of their revocation. It follows the issuer's keys and its revocation feed in the background.
 *
 * ```ts
 * import { createVerifier } from '@cardea/verifier'
 *
 * const verifier = createVerifier({
 *   issuer: 'https://auth.example.com',
 *   audience: 'https://api.example.com',
 *   client: { id: 'orders', secret: process.env.CARDEA_CLIENT_SECRET ?? '' },
 * })
 * await verifier.ready()
 * const claims = await verifier.verify(token)
 * console.log(claims.sub, claims.roles)
 * ```
 */
export type { Clock } from './clock.ts'
export { VerifierError, type VerifierErrorCode, type VerifierErrorOptions } from './errors.ts'
export type { AccessTokenClaims } from './tokens/access-token-claims.ts'
export { checkAccessToken } from './tokens/check-access-token.ts'
export type { CheckAccessTokenOptions, CheckedToken } from './tokens/token-check.ts'
export type { SigningAlgorithm, VerificationKey } from './tokens/verification-key.ts'
export { createVerifier } from './verifier/create-verifier.ts'
export type {
  StalePolicy,
  TestOptions,
  VerifierOptions,
  VerifyOptions,
} from './verifier/options.ts'
export type {
  Verifier,
  VerifierEvents,
  VerifierState,
  VerifierStats,
} from './verifier/verifier.ts'
