import { hash } from 'node:crypto'
import { CompactEncrypt } from 'jose'
import { type SecretRing, sealedLabel } from '../keys/index.ts'

/** A key that encrypts and decrypts the tokens of one audience. */
export type SealingKey = {
  /** RFC 7638 thumbprint of the key as a JWK of type `oct`. It reveals nothing about the key, which is 256 random bits (section 7). */
  readonly kid: string
  /** 32 bytes. */
  readonly key: Buffer
}

/** The first encrypts; all of them decrypt. */
export type SealingKeys = readonly [SealingKey, ...SealingKey[]]

const sealingKey = ({ key }: { readonly key: Buffer }): SealingKey => ({
  kid: hash('sha256', JSON.stringify({ k: key.toString('base64url'), kty: 'oct' }), 'base64url'),
  key,
})

/**
 * The keys of one audience, one for each secret in CARDEA_SECRET. Each audience has its own, because a web app receives its keys and must
 * not be able to read the tokens of another.
 */
export const sealingKeys = (ring: SecretRing, audience: string): SealingKeys => {
  const [first, ...others] = ring.derive(sealedLabel(audience))
  return [sealingKey(first), ...others.map(sealingKey)]
}

/**
 * RFC 7516, compact: `dir` and A256GCM. No compression, because the length of compressed text reveals its content. `cty` is set as RFC 7519
 * section 5.2 requires. A key must not be used for more than 2^32 random nonces (NIST SP 800-38D section 8.3): a hundred a second takes
 * more than a year.
 */
const headerOf = (kid: string) => ({ alg: 'dir', enc: 'A256GCM', kid, cty: 'JWT' })

const encodedLength = (bytes: number): number => Math.ceil((bytes * 4) / 3)

/** The length of a SHA-256 digest as text. */
const kidCharacters = 43

const headerCharacters = encodedLength(JSON.stringify(headerOf('k'.repeat(kidCharacters))).length)

/** The length of a sealed token in characters, by the length of the token: header, empty key, nonce, content, tag, and four dots. */
export const sealedLength = (tokenCharacters: number): number =>
  headerCharacters + encodedLength(12) + encodedLength(tokenCharacters) + encodedLength(16) + 4

/** Encrypts an access token for the holders of the key of this audience. Rejects only when the machine fails. */
export type SealAccessToken = (token: string, audience: string) => Promise<string>

export const sealAccessToken = (ring: SecretRing): SealAccessToken => {
  // One per audience, and audiences are settings. Deriving a key costs more than sealing.
  const keys = new Map<string, SealingKey>()
  const keyFor = (audience: string): SealingKey => {
    const known = keys.get(audience)
    if (known !== undefined) return known
    const [key] = sealingKeys(ring, audience)
    keys.set(audience, key)
    return key
  }
  return (token, audience) => {
    const { kid, key } = keyFor(audience)
    return new CompactEncrypt(Buffer.from(token)).setProtectedHeader(headerOf(kid)).encrypt(key)
  }
}
