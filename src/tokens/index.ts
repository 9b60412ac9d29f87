/**
 * Owns the access token: its content and its signature. The verifier package decides whether a token is acceptable, here as in other
 * services. The revocation feature decides whether it was revoked.
 */
export {
  type AccessTokenClaims,
  isServiceToken,
  type MintAccessToken,
  type MintedToken,
  mintAccessToken,
  type TokenSubject,
} from './mint-access-token.ts'
export {
  type SealAccessToken,
  sealAccessToken,
  sealedLength,
  sealingKeys,
} from './seal-access-token.ts'
