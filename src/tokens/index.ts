/**
 * Owns the access token: what is in it and how it is signed. What makes one acceptable, the service asks the verifier package like
 * everyone else; whether it was revoked is for the revocation feature to say.
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
