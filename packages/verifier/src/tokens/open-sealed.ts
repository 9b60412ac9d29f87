import { hash, webcrypto } from 'node:crypto'
import { compactDecrypt, errors } from 'jose'
import { VerifierError } from '../errors.ts'
import { isCanonical, isKid, readPart } from './canonical-part.ts'
import { TokenRefused } from './token-refused.ts'

/** Browsers drop a cookie whose name and value together are longer (RFC 6265bis section 5.6). */
const maximumCharacters = 4096

/** For AES-GCM, as text: 96 bits of nonce, 128 of tag (RFC 7518 section 5.3). A shorter tag would be easier to guess. */
const nonceCharacters = 16
const tagCharacters = 22

/**
 * RFC 7638, of `{"k":…,"kty":"oct"}`. Computed and never configured, so that a key cannot have the name of another. It reveals nothing
 * about the key, which is 256 random bits (section 7).
 */
const thumbprint = (key: Buffer): string =>
  hash('sha256', JSON.stringify({ k: key.toString('base64url'), kty: 'oct' }), 'base64url')

/**
 * The header only selects one of the keys: `zip` could expand a small cookie, and `crit`, `p2c`, `epk` and `jwk` change how the key is
 * found. `cty` is required for the content by RFC 7519 section 5.2.
 */
const readKid = (part: string): string => {
  const header = readPart(part)
  if (typeof header !== 'object' || header === null) {
    throw new TokenRefused('a header that is no object')
  }
  const {
    alg,
    enc,
    kid,
    cty,
    ...others
  }: { alg?: unknown; enc?: unknown; kid?: unknown; cty?: unknown } = header
  if (alg !== 'dir' || enc !== 'A256GCM') throw new TokenRefused('another kind of encryption')
  if (cty !== 'JWT') throw new TokenRefused('something else than a token is sealed')
  if (!isKid(kid)) throw new TokenRefused('a kid that cannot be one')
  if (Object.keys(others).length > 0) {
    throw new TokenRefused('a header with more than alg, enc, kid and cty')
  }
  return kid
}

/** The kid of a well-formed sealed token: five parts (RFC 7516 section 7.1), the second empty, each with one possible spelling. */
const readForm = (sealed: string): string => {
  // Callers without a type checker may pass any cookie value.
  if (typeof sealed !== 'string') throw new TokenRefused('not a string')
  if (sealed.length > maximumCharacters) throw new TokenRefused('too long')
  const [header, encryptedKey, nonce, content, tag, more] = sealed.split('.', 6)
  if (
    header === undefined ||
    nonce === undefined ||
    content === undefined ||
    tag === undefined ||
    more !== undefined
  ) {
    throw new TokenRefused('not five parts')
  }
  if (encryptedKey !== '') throw new TokenRefused('an encrypted key where none belongs')
  const isRight =
    nonce.length === nonceCharacters &&
    tag.length === tagCharacters &&
    [nonce, content, tag].every(isCanonical)
  if (!isRight) throw new TokenRefused('a part that is not canonical base64url of its length')
  return readKid(header)
}

/** The decryption keys by kid. They are imported on first use, because importing is asynchronous and making a verifier is not. */
const keyRing = (keys: readonly Buffer[]) => {
  const held = new Map(keys.map((key) => [thumbprint(key), key]))
  const imported = new Map<string, Promise<webcrypto.CryptoKey>>()
  return (kid: string): Promise<webcrypto.CryptoKey> | undefined => {
    const key = held.get(kid)
    if (key === undefined) return undefined
    const known = imported.get(kid)
    if (known !== undefined) return known
    const importing = webcrypto.subtle.importKey('raw', key, 'AES-GCM', false, ['decrypt'])
    imported.set(kid, importing)
    return importing
  }
}

/** Decrypts the access token in a sealed one. The token is checked afterwards like any other. */
export type OpenSealed = (sealed: string) => Promise<string>

/** A function that decrypts with one of these keys, 32 bytes each. It rejects with `token_invalid` for everything else. */
export const createOpener = (keys: readonly Buffer[]): OpenSealed => {
  const keyOf = keyRing(keys)

  const open = async (sealed: string): Promise<string> => {
    const key = await keyOf(readForm(sealed))
    // Selected by kid only: trying all keys would make each forged cookie more expensive.
    if (key === undefined) throw new TokenRefused('sealed with another key')
    const { plaintext } = await compactDecrypt(sealed, key, {
      keyManagementAlgorithms: ['dir'],
      contentEncryptionAlgorithms: ['A256GCM'],
    })
    return Buffer.from(plaintext).toString('utf8')
  }

  return (sealed) =>
    open(sealed).catch((error: unknown) => {
      const isRefusal = error instanceof TokenRefused || error instanceof errors.JOSEError
      throw isRefusal ? new VerifierError('token_invalid', { cause: error }) : error
    })
}
