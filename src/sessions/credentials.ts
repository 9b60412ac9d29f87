import { createHmac, createSecretKey, hash, type KeyObject, timingSafeEqual } from 'node:crypto'
import { type Clock, idFromBytes, idToBytes } from '../lib/machine.ts'
import { type MintedToken, sealedLength, type TokenSubject } from '../tokens/index.ts'
import { type SessionSettings, scopeAtRefresh, tokenScope } from './scope.ts'
import { type SessionFacts, type SessionKind, sessionErrors } from './session.ts'

/**
 * What a handle says. Its format, in this order:
 * version 1 byte | key id 1 | session id 16 | generation 4, big endian | secret 32 | MAC 32.
 */
export type Handle = {
  readonly sessionId: string
  /** How many times the session's handle was rotated when this one was made. */
  readonly generation: number
  /** 32 random bytes, made at login, the same in every generation; the store keeps only their SHA-256. */
  readonly secret: Buffer
}

/** A key of the ring; several may share an id, and then each is tried. */
export type HandleKey = { readonly id: number; readonly key: Buffer }

export type HandleCodec = {
  readonly write: (handle: Handle) => string
  /** Nothing when the text is not a handle that one of our keys made: it then never reaches the database. */
  readonly read: (text: string) => Handle | undefined
}

const version = 1
const idAt = 2
const generationAt = 18
const secretAt = 22
const macAt = 54
const length = 86

export const secretBytes = 32

/** Generations are stored as a signed 32-bit integer. */
const maxGeneration = 0x7fff_ffff

const macOf = (key: KeyObject, body: Buffer): Buffer =>
  createHmac('sha256', key).update(body).digest()

/** Only the canonical spelling, so that one handle is one text. */
const decode = (text: string): Buffer | undefined => {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.length === length && bytes.toString('base64url') === text ? bytes : undefined
}

/** @throws TypeError when there is no key, or a key is not 32 bytes. */
export const handleCodec = (ring: readonly HandleKey[]): HandleCodec => {
  if (ring.some(({ key }) => key.length !== 32)) {
    throw new TypeError('a handle codec needs keys of 32 bytes each')
  }
  // Once, because Node takes four times as long over an HMAC with the bytes of a key (18 µs) as over one with a KeyObject (4).
  const keys = ring.map(({ id, key }) => ({ id, key: createSecretKey(key) }))
  const [making] = keys
  if (!making) throw new TypeError('a handle codec needs at least one key')
  return {
    write: ({ sessionId, generation, secret }) => {
      const bytes = Buffer.alloc(length)
      bytes[0] = version
      bytes[1] = making.id
      idToBytes(sessionId).copy(bytes, idAt)
      bytes.writeUInt32BE(generation, generationAt)
      secret.copy(bytes, secretAt)
      macOf(making.key, bytes.subarray(0, macAt)).copy(bytes, macAt)
      return bytes.toString('base64url')
    },
    read: (text) => {
      const bytes = decode(text)
      if (!bytes || bytes[0] !== version) return undefined
      const body = bytes.subarray(0, macAt)
      const mac = bytes.subarray(macAt)
      const ours = keys.some(
        ({ id, key }) => id === bytes[1] && timingSafeEqual(macOf(key, body), mac),
      )
      const generation = bytes.readUInt32BE(generationAt)
      if (!ours || generation >= maxGeneration) return undefined
      return {
        sessionId: idFromBytes(bytes.subarray(idAt, generationAt)),
        generation,
        secret: Buffer.from(bytes.subarray(secretAt, macAt)),
      }
    },
  }
}

/** Names the handle of one generation where it is revoked; as long as the id of a token, and says nothing of the session. */
export const handleId = ({ sessionId, generation }: Omit<Handle, 'secret'>): string =>
  idFromBytes(hash('sha256', `session cookie ${sessionId}.${generation}`, 'buffer').subarray(0, 16))

/** What the store keeps of a secret. A fast hash is right for 256 random bits. */
export const secretDigest = (secret: Buffer): Buffer => hash('sha256', secret, 'buffer')

export const sealedCookieName = '__Host-cardea-sealed'

/** A browser drops a cookie whose name and value are longer together, without a word (RFC 6265bis section 5.6). */
const maxNameAndValueBytes = 4096

/** Whether the access token, sealed, fits into its cookie. What makes it long is the account's roles. */
export const fitsSealed = ({ accessToken }: Pick<Issued, 'accessToken'>): boolean =>
  sealedCookieName.length + sealedLength(accessToken.length) <= maxNameAndValueBytes

/** It is refused and not split: two cookies can be of two logins (docs/decisions/0023-sealed-sessions.md). */
export const tooLargeToSeal = () => sessionErrors.error('sealed_session_too_large')

export type IssueTokens = {
  readonly clock: Clock
  readonly codec: HandleCodec
  readonly mint: (subject: TokenSubject) => MintedToken
  readonly settings: Pick<SessionSettings, 'issuer'>
}

/** What the access token is to be; of a session that was just opened it is for the session's own audience. */
export type TokenGrant = {
  readonly audience: string
  /** Undefined: all that the session and the roles of today allow. */
  readonly scopes?: readonly string[] | undefined
  /** When the facts were read, or before. */
  readonly factsReadAtMs: number
}

/** What a login or a refresh hands out. */
export type Issued = {
  readonly kind: SessionKind
  /** False: its cookies end with the browser. */
  readonly persists: boolean
  /** Whom the access token is for. */
  readonly audience: string
  readonly sessionId: string
  readonly accountId: string
  readonly accessToken: string
  /** Of the access token. */
  readonly scope: string
  /** Seconds. */
  readonly expiresInSeconds: number
  /** The newest handle of the session. */
  readonly refreshToken: string
  /** Whole seconds until the handle dies if it is not used again. */
  readonly refreshExpiresInSeconds: number
}

/** Makes the credentials of a session as it now stands, or stood after `factsReadAtMs`. Reads and writes nothing. */
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
