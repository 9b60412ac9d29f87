import { createHmac, createSecretKey, hkdfSync, type KeyObject, timingSafeEqual } from 'node:crypto'
import { idFromBytes, idToBytes } from './machine.ts'

/**
 * The one place that derives keys, computes and truncates HMACs, compares in constant time and reads base64url strictly
 * (docs/decisions/0054-one-codec-for-signed-bytes.md). A feature declares its purpose, by the label of its keys, and its fields.
 */

/** One key for one purpose. `id` identifies its secret in one byte. Two secrets have the same id with a probability of 1/256. */
export type MacKey = { readonly id: number; readonly key: Buffer }

/** HKDF-SHA-256 (RFC 5869) without salt, because the secret is already as strong as a key. Each label has one key. */
export const deriveBytes = (secret: string, label: string, byteCount: number): Buffer =>
  Buffer.from(hkdfSync('sha256', Buffer.from(secret, 'utf8'), '', label, byteCount))

const macBytes = 32
const tagBytes = 16

type OpenKey = { readonly id: number; readonly key: KeyObject }

/** Once for each key: an HMAC with the raw bytes of a key takes four times as long (18 µs) as one with a `KeyObject` (4 µs). */
const openKey = ({ id, key }: MacKey): OpenKey => {
  if (key.length !== macBytes) throw new TypeError(`a key has ${macBytes} bytes`)
  return { id, key: createSecretKey(key) }
}

/** All keys, the one for new values first. */
const openKeys = (keys: readonly MacKey[]): readonly [OpenKey, ...OpenKey[]] => {
  const [first, ...others] = keys.map(openKey)
  if (first === undefined) throw new TypeError('at least one key is needed')
  return [first, ...others]
}

/** Over the prefix, the data and `more`, in this order. */
const hmac = (key: KeyObject, prefix: string, data: string | Buffer, more?: Buffer): Buffer => {
  const mac = createHmac('sha256', key)
  if (prefix !== '') mac.update(prefix)
  mac.update(data)
  if (more !== undefined) mac.update(more)
  return mac.digest()
}

/** Takes the same time wherever the first difference is. */
export const isSameBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && timingSafeEqual(a, b)

/** Accepts the canonical spelling only, so that each value has one text. */
const decodeStrictly = (text: string): Buffer | undefined => {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

/**
 * A keyed hash that replaces a text which must not be stored. Without the key it reveals nothing.
 * @param byteCount 16 is enough to distinguish texts
 */
export const keyedHash = (key: Buffer, byteCount: 16 | 32): ((text: string) => string) => {
  const { key: opened } = openKey({ id: 0, key })
  return function hashOf(text) {
    return hmac(opened, '', text).subarray(0, byteCount).toString('base64url')
  }
}

/** Signatures that are stored beside a text. */
export type TextSigner = {
  /** 43 characters of base64url. */
  readonly sign: (text: string) => string
  readonly isSignature: (signature: string, text: string) => boolean
}

/**
 * The first key signs, all verify.
 * @param prefix added to every signed text, where the same keys sign several forms
 */
export const textSigner = (keys: readonly MacKey[], prefix = ''): TextSigner => {
  const opened = openKeys(keys)
  return {
    sign: (text) => hmac(opened[0].key, prefix, text).toString('base64url'),
    isSignature: (signature, text) => {
      const given = decodeStrictly(signature)
      if (given?.length !== macBytes) return false
      return opened.some(({ key }) => isSameBytes(hmac(key, prefix, text), given))
    },
  }
}

/** A field of signed bytes. The written and the read type differ where only a tag of the value is stored. */
export type Field<Written, Read = Written> = {
  readonly byteCount: number
  readonly write: (bytes: Buffer, at: number, value: Written, key: KeyObject) => void
  readonly read: (bytes: Buffer, at: number, key: KeyObject) => Read
}

/** An id, 16 bytes. */
export const idField: Field<string> = {
  byteCount: 16,
  write: (bytes, at, id) => void idToBytes(id).copy(bytes, at),
  read: (bytes, at) => idFromBytes(bytes.subarray(at, at + 16)),
}

export const bytesField = (byteCount: number): Field<Buffer> => ({
  byteCount,
  write: (bytes, at, value) => void value.copy(bytes, at, 0, byteCount),
  // A separate buffer, so that it does not keep the whole value in memory.
  read: (bytes, at) => Buffer.from(bytes.subarray(at, at + byteCount)),
})

export const flagField: Field<boolean> = {
  byteCount: 1,
  write: (bytes, at, value) => void bytes.writeUInt8(value ? 1 : 0, at),
  read: (bytes, at) => bytes.readUInt8(at) === 1,
}

/** 4 bytes, big endian. */
export const uint32Field: Field<number> = {
  byteCount: 4,
  write: (bytes, at, value) => void bytes.writeUInt32BE(value, at),
  read: (bytes, at) => bytes.readUInt32BE(at),
}

/** 8 bytes, big endian, for safe integers. */
export const uint64Field: Field<number> = {
  byteCount: 8,
  write: (bytes, at, value) => void bytes.writeBigUInt64BE(BigInt(value), at),
  read: (bytes, at) => Number(bytes.readBigUInt64BE(at)),
}

/**
 * A keyed tag of a text, 16 bytes. It is made with the signing key, and read as a function that checks a text.
 * @param prefix separates the uses of one key: a tag is never valid as a MAC or as another tag
 */
export const tagField = (prefix: string): Field<string, (text: string) => boolean> => {
  const tagOf = (text: string, key: KeyObject): Buffer =>
    hmac(key, prefix, text).subarray(0, tagBytes)
  return {
    byteCount: tagBytes,
    write: (bytes, at, text, key) => void tagOf(text, key).copy(bytes, at),
    read: (bytes, at, key) => {
      const tag = bytes.subarray(at, at + tagBytes)
      return function isTagged(text) {
        return isSameBytes(tagOf(text, key), tag)
      }
    },
  }
}

type Fields = Readonly<Record<string, Field<never, unknown>>>

type WrittenOf<F extends Fields> = {
  readonly [Name in keyof F]: F[Name] extends Field<infer Written, unknown> ? Written : never
}

type ReadOf<F extends Fields> = {
  readonly [Name in keyof F]: F[Name] extends Field<never, infer Read> ? Read : never
}

/** `version 1 byte | key id 1 | fields | MAC 32 | text`, all in base64url. The MAC covers everything else. */
export type Layout<F extends Fields> = {
  readonly version: number
  /** Prepended to the input of the MAC. Left out where the keys make only this MAC. */
  readonly prefix?: string
  /** In the order of the layout. */
  readonly fields: F
  /** Whether a text of at least one byte follows the MAC. */
  readonly endsInText?: boolean
}

export type SignedBytes<F extends Fields> = {
  /** @param text only for a layout with `endsInText` */
  readonly write: (values: WrittenOf<F>, text?: string) => string
  /** Undefined: none of the keys made it, or the spelling is not canonical. Never throws. */
  readonly read: (signed: string) => (ReadOf<F> & { readonly text: string }) | undefined
}

const headBytes = 2

type PlacedField = {
  readonly name: string
  readonly at: number
  readonly field: Field<never, unknown>
}

/** The position of each field and of the MAC. */
const place = (fields: Fields): { readonly placed: readonly PlacedField[]; macAt: number } => {
  let macAt = headBytes
  const placed = Object.entries(fields).map(([name, field]) => {
    const at = macAt
    macAt += field.byteCount
    return { name, at, field }
  })
  return { placed, macAt }
}

/**
 * Authenticated values. The first key makes them; every key with the id in a value may verify it.
 * @throws TypeError when there is no key, or a key is not 32 bytes
 */
export const signedBytes = <F extends Fields>(
  keys: readonly MacKey[],
  { version, prefix = '', fields, endsInText = false }: Layout<F>,
): SignedBytes<F> => {
  const opened = openKeys(keys)
  const { placed, macAt } = place(fields)
  const textAt = macAt + macBytes
  const fixedLength = Math.ceil((textAt * 4) / 3)

  const macOf = (key: KeyObject, bytes: Buffer): Buffer =>
    hmac(key, prefix, bytes.subarray(0, macAt), endsInText ? bytes.subarray(textAt) : undefined)

  const decode = (signed: string): Buffer | undefined => {
    // Before anything is decoded, so that a long text costs nothing.
    if (endsInText ? signed.length <= fixedLength : signed.length !== fixedLength) return undefined
    const bytes = decodeStrictly(signed)
    return bytes?.[0] === version ? bytes : undefined
  }

  return {
    write: (values, text = '') => {
      const { id, key } = opened[0]
      const bytes = Buffer.alloc(textAt + (endsInText ? Buffer.byteLength(text) : 0))
      bytes[0] = version
      bytes[1] = id
      for (const { name, at, field } of placed) field.write(bytes, at, values[name] as never, key)
      if (endsInText) bytes.write(text, textAt)
      macOf(key, bytes).copy(bytes, macAt)
      return bytes.toString('base64url')
    },
    read: (signed) => {
      const bytes = decode(signed)
      if (bytes === undefined) return undefined
      const mac = bytes.subarray(macAt, textAt)
      const signer = opened.find(
        ({ id, key }) => id === bytes[1] && isSameBytes(macOf(key, bytes), mac),
      )
      if (signer === undefined) return undefined
      const text = bytes.toString('utf8', textAt)
      const values: Record<string, unknown> = { text }
      for (const { name, at, field } of placed) values[name] = field.read(bytes, at, signer.key)
      return values as ReadOf<F> & { readonly text: string }
    },
  }
}
