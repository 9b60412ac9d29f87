import { sign } from 'node:crypto'
import type { Signer } from '../keys/index.ts'
import { type Clock, longestTokenSeconds, newId, type Random } from '../lib/machine.ts'

/**
 * Signs on the main thread, with `node:crypto` and not `jose`. WebCrypto signs on the thread pool that password hashing fills, where a
 * refresh would wait behind logins, and it takes about four times the CPU. See docs/decisions/0006-signing-with-node-crypto.md.
 * Verification uses `jose`.
 */

const coordinateBytes = 32
const sequenceTag = 0x30
const integerTag = 0x02

/** DER uses as few bytes as possible for an integer, with a leading zero where the first bit is set: 1 to 33 bytes. */
const readCoordinate = (der: Buffer, start: number): { value: Buffer; end: number } => {
  const length = der.readUInt8(start + 1)
  const end = start + 2 + length
  const first = der.readUInt8(start + 2)
  const hasSignByte = first === 0 && length === coordinateBytes + 1
  const value = der.subarray(hasSignByte ? start + 3 : start + 2, end)
  const isPositive = first < 0x80
  const fits = value.length > 0 && value.length <= coordinateBytes && end <= der.length
  if (der.readUInt8(start) !== integerTag || !isPositive || !fits) {
    throw new TypeError('not a P-256 signature')
  }
  return { value, end }
}

/**
 * Converts ECDSA-Sig-Value (RFC 3279 section 2.2.3) to the JWS form: r and s, each exactly 32 bytes (RFC 7518 section 3.4). Node can do
 * this (`dsaEncoding: 'ieee-p1363'`), but it doubles the cost of the signature. Throws on anything that is not a DER signature over P-256,
 * instead of issuing a token that fails verification everywhere.
 */
export const rawSignature = (der: Buffer): Buffer => {
  if (der.readUInt8(0) !== sequenceTag || der.readUInt8(1) !== der.length - 2) {
    throw new TypeError('not a P-256 signature')
  }
  const r = readCoordinate(der, 2)
  const s = readCoordinate(der, r.end)
  if (s.end !== der.length) throw new TypeError('not a P-256 signature')
  const raw = Buffer.alloc(2 * coordinateBytes)
  // Right-aligned: one signature in 128 has a coordinate shorter than 32 bytes.
  r.value.copy(raw, coordinateBytes - r.value.length)
  s.value.copy(raw, 2 * coordinateBytes - s.value.length)
  return raw
}

const signBytes = ({ algorithm, privateKey }: Signer, input: Buffer): Buffer => {
  switch (algorithm) {
    case 'ES256':
      return rawSignature(sign('sha256', input, privateKey))
    case 'RS256':
      // RSASSA-PKCS1-v1_5 is the default for RSA keys.
      return sign('sha256', input, privateKey)
    case 'Ed25519':
      // Ed25519 hashes by itself (RFC 8032).
      return sign(null, input, privateKey)
  }
}

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url')

/** The first part of every token of this signer. Made once, because it never changes. */
export const jwsHeader = ({ algorithm, kid }: Signer, typ: string): string =>
  encode({ typ, alg: algorithm, kid })

/** A JWS in compact form (RFC 7515 section 7.1), with the `header` from `jwsHeader` for the same signer. */
export const signJws = (signer: Signer, header: string, payload: object): string => {
  const input = `${header}.${encode(payload)}`
  return `${input}.${signBytes(signer, Buffer.from(input)).toString('base64url')}`
}

/** Counters that rise when everything issued before must be revoked. The session stores their values at its authentication. */
export type Epochs = readonly [global: number, account: number, claims: number]

/** The facts about a session for its token. */
export type TokenSubject = {
  /** The account, or the service client, of the token. */
  readonly subjectId: string
  /** Undefined: the token has no session, and its `sid` is its own `jti`. */
  readonly sessionId: string | undefined
  readonly clientId: string
  readonly audience: string
  /** Space-separated (RFC 6749 section 3.3). May be empty. */
  readonly scope: string
  readonly roles: readonly string[]
  readonly authenticatedAtMs: number
  /** How the user authenticated (RFC 8176), e.g. `['pwd']`. */
  readonly amr: readonly string[]
  readonly acr: string
  readonly epochs: Epochs
  /**
   * A moment before any of this was read, or before a cached state was compared with the revocations. The token's `iat` is this moment:
   * however late it is signed, it expires before the revocation of its facts is deleted.
   */
  readonly factsReadAtMs: number
}

/** RFC 9068 section 2.2, and Cardea's `sid` and `aep`. */
export type AccessTokenClaims = {
  readonly iss: string
  readonly sub: string
  readonly aud: string | readonly string[]
  readonly client_id: string
  /** Seconds since the Unix epoch, like all times in a token. */
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
 * Whether a token belongs to a service client and not to a user (RFC 9068 section 2.2: its `sub` is then the client). The ids of accounts
 * and clients are random, so they never collide.
 */
export const isServiceToken = ({ sub, client_id }: AccessTokenClaims): boolean => sub === client_id

type Issue = {
  readonly issuer: string
  readonly tokenId: string
  readonly lifetimeSeconds: number
}

const wholeSeconds = (ms: number): number => Math.floor(ms / 1000)

/** The claims of one token. They contain no personal data, because tokens end up in the logs of unknown services. */
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

/** RFC 9068 section 2.1. Prevents that a token of another kind is accepted as an access token, and the reverse. */
const accessTokenType = 'at+jwt'

type Dependencies = {
  readonly signer: () => Signer
  readonly issuer: string
  /** From 1 to `longestTokenSeconds`. */
  readonly accessTokenSeconds: number
  readonly clock: Clock
  readonly random: Random
}

export type MintedToken = {
  readonly token: string
  /** For `expires_in`: the remaining time, which is shorter than the lifetime when signing was late. */
  readonly expiresInSeconds: number
  /** The `jti`. */
  readonly tokenId: string
}

export type MintAccessToken = (subject: TokenSubject) => MintedToken

const between = (least: number, wanted: number, most: number): number =>
  Math.min(most, Math.max(least, wanted))

/** Synchronous: about 30 µs of CPU with ES256. Throws a TypeError at once for a lifetime that verifiers would refuse. */
export const mintAccessToken = (deps: Dependencies): MintAccessToken => {
  const { accessTokenSeconds: lifetimeSeconds, issuer } = deps
  const isAllowed =
    Number.isInteger(lifetimeSeconds) &&
    lifetimeSeconds >= 1 &&
    lifetimeSeconds <= longestTokenSeconds
  if (!isAllowed) throw new TypeError(`access tokens live 1 to ${longestTokenSeconds} seconds`)
  let last: { readonly signer: Signer; readonly header: string } | undefined
  const headerOf = (signer: Signer): string => {
    if (last?.signer !== signer) last = { signer, header: jwsHeader(signer, accessTokenType) }
    return last.header
  }
  return function mintAccessToken(subject) {
    const tokenId = newId(deps.random)
    const claims = buildClaims(subject, { issuer, tokenId, lifetimeSeconds })
    const signer = deps.signer()
    const token = signJws(signer, headerOf(signer), claims)
    const leftSeconds = claims.exp - Math.floor(deps.clock.nowMs() / 1000)
    return { token, expiresInSeconds: between(0, leftSeconds, lifetimeSeconds), tokenId }
  }
}
