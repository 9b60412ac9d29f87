import { hash } from 'node:crypto'
import { CompactEncrypt } from 'jose'
import { type SecretRing, sealedLabel } from '../keys/index.ts'

/** A key that seals and opens the tokens of one audience. */
export type SealingKey = {
  /** RFC 7638 thumbprint of the key as a JWK of type `oct`. It tells nothing of the key, which is 256 random bits (section 7). */
  readonly kid: string
  /** 32 bytes. */
  readonly key: Buffer
}

/** The first seals; all of them open. */
export type SealingKeys = readonly [SealingKey, ...SealingKey[]]

const sealingKey = ({ key }: { readonly key: Buffer }): SealingKey => ({
  kid: hash('sha256', JSON.stringify({ k: key.toString('base64url'), kty: 'oct' }), 'base64url'),
  key,
})

/**
 * Of one audience, one key for each secret in CARDEA_SECRET. Each audience has its own, because a web app is given its keys, and must not
 * read the tokens of another with them.
 */
export const sealingKeys = (ring: SecretRing, audience: string): SealingKeys => {
  const [first, ...others] = ring.derive(sealedLabel(audience))
  return [sealingKey(first), ...others.map(sealingKey)]
}

/**
 * RFC 7516, compact: `dir` and A256GCM, no compression, since what compresses tells its content by its length. `cty` is as RFC 7519
 * section 5.2 wants it. The random nonces of one key must not pass 2^32 (NIST SP 800-38D section 8.3): a hundred a second is a year.
 */
const headerOf = (kid: string) => ({ alg: 'dir', enc: 'A256GCM', kid, cty: 'JWT' })

const encodedLength = (bytes: number): number => Math.ceil((bytes * 4) / 3)

/** Of SHA-256, as text. */
const kidCharacters = 43

const headerCharacters = encodedLength(JSON.stringify(headerOf('k'.repeat(kidCharacters))).length)

/** How many characters a token of so many characters has when it is sealed: header, no key, nonce, content, tag, and four dots. */
export const sealedLength = (tokenCharacters: number): number =>
  headerCharacters + encodedLength(12) + encodedLength(tokenCharacters) + encodedLength(16) + 4

/** Encrypts an access token for the holders of the key of this audience. Rejects only when the machine fails. */
export type SealAccessToken = (token: string, audience: string) => Promise<string>

export const sealAccessToken = (ring: SecretRing): SealAccessToken => {
  // As many as there are audiences, which are settings: a derivation costs more than the sealing.
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
