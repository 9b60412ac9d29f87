/**
 * What an access token of Cardea says (RFC 9068 section 2.2, and `sid` and `aep`). Deeply frozen: the same object is handed out
 * for every request that carries the same token, so what one request handler changes the next would believe.
 */
export type AccessTokenClaims = {
  /** The issuer, byte for byte as configured. */
  readonly iss: string
  /** The account, or the service whose own token it is: 22 characters of base64url, never given to anyone else. */
  readonly sub: string
  /** For whom the token is meant. */
  readonly aud: string | readonly string[]
  /** The client that the account logged in with; of a service's own token the same as `sub`. */
  readonly client_id: string
  /** When it was issued; seconds since the Unix epoch, as all times here. */
  readonly iat: number
  /** When it ends; at most 900 s after `iat`. */
  readonly exp: number
  /** Before this it is not valid; Cardea sets none. */
  readonly nbf?: number
  /** The token itself: 22 characters of base64url. */
  readonly jti: string
  /** The session that it belongs to: 22 characters of base64url. A service has none: then it is the `jti`. */
  readonly sid: string
  /** The epochs of its session: global, account, claims. One that has risen since has killed the token. */
  readonly aep: readonly [global: number, account: number, claims: number]
  /** When the person last proved who they are; 0 where there is no person. */
  readonly auth_time: number
  /** How they proved it (RFC 8176), e.g. `['pwd']`. */
  readonly amr: readonly string[]
  /** How much that is worth, e.g. `aal1`. */
  readonly acr: string
  /** Separated by single spaces; empty when there are none. */
  readonly scope: string
  readonly roles: readonly string[]
}
