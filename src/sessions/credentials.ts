import { hash } from 'node:crypto'
import { type Clock, idFromBytes } from '../lib/machine.ts'
import { bytesField, idField, type MacKey, signedBytes, uint32Field } from '../lib/signed-bytes.ts'
import { type MintedToken, sealedLength, type TokenSubject } from '../tokens/index.ts'
import { type SessionSettings, scopeAtRefresh, tokenScope } from './scope.ts'
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
