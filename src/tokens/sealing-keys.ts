import { hash } from 'node:crypto'
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
