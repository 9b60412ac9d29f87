// Not jose's type: the declarations of the CommonJS build could not refer to an ESM-only package.
import type { webcrypto } from 'node:crypto'

/** The algorithms that Cardea can sign with. `Ed25519` is the fully specified name (RFC 9864), not `EdDSA`. */
export type SigningAlgorithm = 'ES256' | 'RS256' | 'Ed25519'

/**
 * The key for tokens with this `kid`, used with `algorithm` only: a key for two algorithms could be used with the weaker one (RFC 8725bis
 * section 3.1).
 */
export type VerificationKey = {
  /** RFC 7638 SHA-256 thumbprint of the public key: 43 characters of base64url. */
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  /** Never raw bytes: a `CryptoKey` cannot be used as a secret for another algorithm. */
  readonly key: webcrypto.CryptoKey
}
