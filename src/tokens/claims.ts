import Type, { type Static } from 'typebox'
import { idPattern } from '../lib/id.ts'

/** Counters that rise when everything issued before must die; as stored on the session when it was authenticated. */
export type Epochs = readonly [global: number, account: number, claims: number]

/** What a session knows of itself when a token is minted for it. */
export type TokenSubject = {
  readonly accountId: string
  readonly sessionId: string
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
}

/** The longest life of an access token, whoever asks: revocations are kept only this long. */
export const maximumLifetimeSeconds = 900

const id = Type.String({ pattern: idPattern })
/** Refuses fractions, infinities (`1e309` parses to one) and what a double cannot hold exactly. */
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const texts = Type.Array(Type.String())

/** RFC 9068 section 2.2, and our `sid` and `aep`. Members not named here are ignored. */
export const accessTokenClaimsSchema = Type.Object({
  iss: Type.String(),
  sub: id,
  aud: Type.Union([Type.String(), texts]),
  client_id: Type.String(),
  /** Seconds since the Unix epoch, as all times in a token. */
  iat: count,
  exp: count,
  nbf: Type.Optional(count),
  jti: id,
  sid: id,
  /** The epochs: global, account, claims. */
  aep: Type.Tuple([count, count, count]),
  auth_time: count,
  amr: texts,
  acr: Type.String(),
  scope: Type.String(),
  roles: texts,
})

export type AccessTokenClaims = Static<typeof accessTokenClaimsSchema>

type Issue = {
  readonly issuer: string
  readonly tokenId: string
  readonly nowMs: number
  readonly lifetimeSeconds: number
}

const wholeSeconds = (ms: number): number => Math.floor(ms / 1000)

/** The claims of one token. Nothing personal goes in: tokens end up in logs of services we do not know. */
export const buildClaims = (subject: TokenSubject, issue: Issue): AccessTokenClaims => {
  const issuedAt = wholeSeconds(issue.nowMs)
  return {
    iss: issue.issuer,
    sub: subject.accountId,
    aud: subject.audience,
    client_id: subject.clientId,
    iat: issuedAt,
    exp: issuedAt + issue.lifetimeSeconds,
    jti: issue.tokenId,
    sid: subject.sessionId,
    aep: [...subject.epochs],
    auth_time: wholeSeconds(subject.authenticatedAtMs),
    amr: [...subject.amr],
    acr: subject.acr,
    scope: subject.scope,
    roles: [...subject.roles],
  }
}
