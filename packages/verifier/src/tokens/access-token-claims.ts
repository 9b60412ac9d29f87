/**
 * The claims of an access token (RFC 9068 section 2.2, and Cardea's `sid` and `aep`). Deeply frozen: all requests with the same token get
 * the same object, so a change in one request handler would affect the others.
 */
export type AccessTokenClaims = {
  /** The issuer, exactly as configured. */
  readonly iss: string
  /** The account, or the service client of a token without a user: 22 characters of base64url, never reused. */
  readonly sub: string
  /** The services that the token is for. */
  readonly aud: string | readonly string[]
  /** The client that the account logged in with. For a service client's own token the same as `sub`. */
  readonly client_id: string
  /** When it was issued; seconds since the Unix epoch, like all times here. */
  readonly iat: number
  /** When it expires; at most 900 s after `iat`. */
  readonly exp: number
  /** Not valid before this time. Cardea does not set it. */
  readonly nbf?: number
  /** The id of the token: 22 characters of base64url. */
  readonly jti: string
  /** The session of the token: 22 characters of base64url. A service client has none, and then it is the `jti`. */
  readonly sid: string
  /** The epochs of its session: global, account, claims. The token is revoked when one of them has risen since. */
  readonly aep: readonly [global: number, account: number, claims: number]
  /** When the user last authenticated; 0 without a user. */
  readonly auth_time: number
  /** How the user authenticated (RFC 8176), e.g. `['pwd']`. */
  readonly amr: readonly string[]
  /** The level of that authentication, e.g. `aal1`. */
  readonly acr: string
  /** Separated by single spaces; may be empty. */
  readonly scope: string
  readonly roles: readonly string[]
}
