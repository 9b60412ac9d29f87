import { hash } from 'node:crypto'
import { type Clock, idFromBytes } from '../lib/machine.ts'
import { bytesField, idField, type MacKey, signedBytes, uint32Field } from '../lib/signed-bytes.ts'
import { type MintedToken, sealedLength, type TokenSubject } from '../tokens/index.ts'
import { type SessionFacts, type SessionKind, sessionErrors } from './session.ts'

/**
 * The content of a handle. Its format, in this order: version 1 byte | key id 1 | session id 16 | generation 4, big endian | secret 32 |
 * MAC 32.
 */
export type Handle = {
  readonly sessionId: string
  /** How often the session had rotated when this handle was made. */
  readonly generation: number
  /** 32 random bytes, made at login and the same in every generation. The store keeps only their SHA-256. */
  readonly secret: Buffer
}

export type HandleCodec = {
  readonly write: (handle: Handle) => string
  /** Undefined when none of the keys made this handle. Such a text never reaches the database. */
  readonly read: (text: string) => Handle | undefined
}

export const secretBytes = 32

/** Generations are stored as a signed 32-bit integer. */
const maxGeneration = 0x7fff_ffff

const layout = {
  version: 1,
  fields: { sessionId: idField, generation: uint32Field, secret: bytesField(secretBytes) },
}

/** @throws TypeError when there is no key, or a key is not 32 bytes. */
export const handleCodec = (keys: readonly MacKey[]): HandleCodec => {
  const { write, read } = signedBytes(keys, layout)
  return {
    write,
    read: (text) => {
      const handle = read(text)
      if (!handle || handle.generation >= maxGeneration) return undefined
      const { sessionId, generation, secret } = handle
      return { sessionId, generation, secret }
    },
  }
}

/** Identifies the handle of one generation in the revocation log. It is as long as a token id and does not reveal the session. */
export const handleId = ({ sessionId, generation }: Omit<Handle, 'secret'>): string =>
  idFromBytes(hash('sha256', `session cookie ${sessionId}.${generation}`, 'buffer').subarray(0, 16))

/** The stored digest of a secret. A fast hash is enough for 256 random bits. */
export const secretDigest = (secret: Buffer): Buffer => hash('sha256', secret, 'buffer')

export const sealedCookieName = '__Host-cardea-sealed'

/** Browsers silently drop a cookie whose name and value together are longer (RFC 6265bis section 5.6). */
const maxNameAndValueBytes = 4096

/** Whether the sealed access token fits into its cookie. The account's roles make it long. */
export const fitsSealed = ({ accessToken }: Pick<Issued, 'accessToken'>): boolean =>
  sealedCookieName.length + sealedLength(accessToken.length) <= maxNameAndValueBytes

/** The token is refused and not split: two cookies can belong to two logins (docs/decisions/0023-sealed-sessions.md). */
export const tooLargeToSeal = () => sessionErrors.error('sealed_session_too_large')

export type IssueTokens = {
  readonly clock: Clock
  readonly codec: HandleCodec
  readonly mint: (subject: TokenSubject) => MintedToken
  readonly settings: Pick<SessionSettings, 'issuer'>
}

/** What to put into the access token. For a session that was just opened this is the session's own audience. */
export type TokenGrant = {
  readonly audience: string
  /** Undefined: everything that the session and the current roles allow. */
  readonly scopes?: readonly string[] | undefined
  /** When the facts were read, or earlier. */
  readonly factsReadAtMs: number
}

/** The credentials that a login or a refresh issues. */
export type Issued = {
  readonly kind: SessionKind
  /** False: the cookies last until the browser closes. */
  readonly persists: boolean
  /** The audience of the access token. */
  readonly audience: string
  readonly sessionId: string
  readonly accountId: string
  readonly accessToken: string
  /** The scope of the access token. */
  readonly scope: string
  /** In seconds. */
  readonly expiresInSeconds: number
  /** The newest handle of the session. */
  readonly refreshToken: string
  /** Whole seconds until the unused handle expires. */
  readonly refreshExpiresInSeconds: number
}

/** Makes the credentials of a session from facts read after `factsReadAtMs`. Reads and writes no store. */
export const issueTokens = (
  { clock, codec, mint, settings }: IssueTokens,
  facts: SessionFacts,
  secret: Buffer,
  { audience, scopes, factsReadAtMs }: TokenGrant,
): Issued => {
  const granted = scopeAtRefresh(facts.scope, facts.roles)
  const scope = tokenScope(granted, audience === settings.issuer, scopes)
  const minted = mint({
    subjectId: facts.accountId,
    sessionId: facts.sessionId,
    clientId: facts.clientId,
    audience,
    scope,
    roles: facts.roles,
    authenticatedAtMs: facts.authenticatedAtMs,
    amr: facts.amr,
    acr: facts.acr,
    epochs: [facts.globalEpoch, facts.accountEpoch, facts.claimsEpoch],
    factsReadAtMs,
  })
  return {
    kind: facts.kind,
    persists: facts.persists,
    audience,
    sessionId: facts.sessionId,
    accountId: facts.accountId,
    accessToken: minted.token,
    scope,
    expiresInSeconds: minted.expiresInSeconds,
    refreshToken: codec.write({ sessionId: facts.sessionId, generation: facts.generation, secret }),
    refreshExpiresInSeconds: Math.max(0, Math.ceil((facts.idleExpiresAtMs - clock.nowMs()) / 1000)),
  }
}

/**
 * The settings that every use of a session is checked against. The row holds the values at login, and settings may have changed since
 * (docs/decisions/0039-stored-facts.md).
 */
export type SessionSettings = {
  readonly issuer: string
  /** The audiences that tokens are issued for, the default first, never empty. The issuer is always an audience too. */
  readonly audiences: readonly string[]
  readonly sessionAbsoluteSeconds: number
  /** For a session that ends with the browser. */
  readonly browserSessionSeconds: number
}

export type AudienceSettings = Pick<SessionSettings, 'issuer' | 'audiences'>

export type LifetimeSettings = Pick<
  SessionSettings,
  'sessionAbsoluteSeconds' | 'browserSessionSeconds'
>

export const defaultAudience = ({ audiences, issuer }: AudienceSettings): string =>
  audiences[0] ?? issuer

export const isServed = (audience: string, { audiences, issuer }: AudienceSettings): boolean =>
  audience === issuer || audiences.includes(audience)

/**
 * The audience of a token requested without one. A session whose login named no audience has the current default, like a new login. A
 * session whose login named some keeps to those. Undefined: the current settings contain none of its audiences.
 */
export const audienceToday = (
  { audience, namedAudiences }: Pick<SessionFacts, 'audience' | 'namedAudiences'>,
  settings: AudienceSettings,
): string | undefined => {
  if (namedAudiences?.length === 0) return defaultAudience(settings)
  return [audience, ...(namedAudiences ?? [])].find((named) => isServed(named, settings))
}

/** The latest expiry, in milliseconds, of a session opened at that time. The expiry in its row applies only if it is earlier. */
export const latestExpiryMs = (
  openedAtMs: number,
  persists: boolean,
  { sessionAbsoluteSeconds, browserSessionSeconds }: LifetimeSettings,
): number => openedAtMs + (persists ? sessionAbsoluteSeconds : browserSessionSeconds) * 1000

/** The role of users who may use the admin API. */
export const operatorRole = 'operator'

/**
 * The scope of every login: read and end the own sessions, read the own account. Other services read it as "a user", so tokens for every
 * audience have it. In this service it is valid only in tokens made for the issuer or for the first of `AUDIENCE`.
 */
export const accountScope = 'account'

/** The only scope that opens operator routes. No other kind of token carries it. */
export const adminScope = 'admin'

/** The part of a granted scope that the current roles still allow. Names unknown to this version are dropped. */
export const scopeAtRefresh = (granted: string, roles: readonly string[]): string =>
  granted
    .split(' ')
    .filter(
      (scope) => scope === accountScope || (scope === adminScope && roles.includes(operatorRole)),
    )
    .join(' ')

/** The part of the scope for a token with this audience, limited to the requested one if any. */
const tokenScope = (
  scope: string,
  isForIssuer: boolean,
  requested: readonly string[] | undefined,
): string =>
  scope
    .split(' ')
    .filter((one) => isForIssuer || one !== adminScope)
    .filter((one) => requested?.includes(one) ?? true)
    .join(' ')
