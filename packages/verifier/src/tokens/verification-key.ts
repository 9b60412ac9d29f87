// Not jose's name for it: the declarations of the CommonJS build could not refer to a package that is ESM only.
import type { webcrypto } from 'node:crypto'

/** What Cardea can sign with. `Ed25519` is the fully specified name (RFC 9864), not `EdDSA`. */
export type SigningAlgorithm = 'ES256' | 'RS256' | 'Ed25519'

/**
 * What verifies tokens that name `kid`, with `algorithm` and no other: a key that served two algorithms could be used with the weaker
 * one (RFC 8725bis section 3.1).
 */
export type VerificationKey = {
  /** RFC 7638 SHA-256 thumbprint of the public key: 43 characters of base64url. */
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  /** Never key bytes: a `CryptoKey` cannot be taken for a secret of another algorithm. */
  readonly key: webcrypto.CryptoKey
}
