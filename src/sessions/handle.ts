import { createHmac, createSecretKey, hash, type KeyObject, timingSafeEqual } from 'node:crypto'
import { idFromBytes, idToBytes } from '../lib/id.ts'

/**
 * What a handle says. Its format, in this order:
 * version 1 byte | key id 1 | session id 16 | generation 4, big endian | secret 32 | MAC 32.
 */
export type Handle = {
  readonly sessionId: string
  /** How many times the session's handle was rotated when this one was made. */
  readonly generation: number
  /** 32 random bytes, made at sign-in, the same in every generation; the store keeps only their SHA-256. */
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
