/** Counters that rise when everything issued before must die; as stored on the session when it was authenticated. */
export type Epochs = readonly [global: number, account: number, claims: number]

/** What a session knows of itself when a token is minted for it. */
export type TokenSubject = {
  /** Whom the token is of: an account, or the service client that it was issued to. */
  readonly subjectId: string
  /** None: no session stands behind the token, and its `sid` is its own `jti`. */
  readonly sessionId: string | undefined
  readonly clientId: string
  readonly audience: string
  /** Space-separated (RFC 6749 section 3.3); empty when none. */
  readonly scope: string
  readonly roles: readonly string[]
  readonly authenticatedAtMs: number
  /** How the person proved who they are (RFC 8176), e.g. `['pwd']`. */
  readonly amr: readonly string[]
  readonly acr: string
  readonly epochs: Epochs
  /**
   * A moment before any of this was read, or a copy of it was compared with all that is revoked. The token is issued as of then: however
   * late it is signed, it is over before the revocation of what it says is forgotten.
   */
  readonly factsReadAtMs: number
}

/** RFC 9068 section 2.2, and our `sid` and `aep`. */
export type AccessTokenClaims = {
  readonly iss: string
  readonly sub: string
  readonly aud: string | readonly string[]
  readonly client_id: string
  /** Seconds since the Unix epoch, as all times in a token. */
  readonly iat: number
  readonly exp: number
  readonly jti: string
  readonly sid: string
  readonly aep: Epochs
  readonly auth_time: number
  readonly amr: readonly string[]
  readonly acr: string
  readonly scope: string
  readonly roles: readonly string[]
}

/**
 * Whether a token is a service's own and no person's (RFC 9068 section 2.2: its `sub` is then the client). The ids of accounts and clients
 * are random, so neither can be the other.
 */
export const isServiceToken = ({ sub, client_id }: AccessTokenClaims): boolean => sub === client_id

type Issue = {
  readonly issuer: string
  readonly tokenId: string
  readonly lifetimeSeconds: number
}

const wholeSeconds = (ms: number): number => Math.floor(ms / 1000)

/** The claims of one token. Nothing personal goes in: tokens end up in logs of services we do not know. */
export const buildClaims = (subject: TokenSubject, issue: Issue): AccessTokenClaims => {
  const issuedAt = wholeSeconds(subject.factsReadAtMs)
  return {
    iss: issue.issuer,
    sub: subject.subjectId,
    aud: subject.audience,
    client_id: subject.clientId,
    iat: issuedAt,
    exp: issuedAt + issue.lifetimeSeconds,
    jti: issue.tokenId,
    sid: subject.sessionId ?? issue.tokenId,
    aep: subject.epochs,
    auth_time: wholeSeconds(subject.authenticatedAtMs),
    amr: subject.amr,
    acr: subject.acr,
    scope: subject.scope,
    roles: subject.roles,
  }
}
