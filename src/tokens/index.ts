/**
 * Owns the access token: what is in it, how it is signed, and what makes one acceptable to Cardea itself. Never looks into
 * a store: whether a token was revoked is for the revocation feature to say.
 */
export type { AccessTokenClaims, TokenSubject } from './claims.ts'
export { tokenErrors } from './errors.ts'
export { type MintedToken, mintAccessToken } from './mint-access-token.ts'
export { verifyAccessToken } from './verify-access-token.ts'
