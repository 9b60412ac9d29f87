import type { JsonWebKey, KeyObject, webcrypto } from 'node:crypto'

/** `Ed25519` is the fully specified name (RFC 9864), not `EdDSA`. */
export type SigningAlgorithm = 'ES256' | 'RS256' | 'Ed25519'

/**
 * next: published, does not sign yet. active: signs; at most one. retiring: verifies until its last token has expired.
 * gone: neither published nor trusted; the row stays, so that its kid is never taken for a new one.
 */
export type SigningKeyState = 'next' | 'active' | 'retiring' | 'gone'

/** A row. The private part is sealed: useless to whoever holds the database alone. */
export type StoredSigningKey = {
  /** RFC 7638 thumbprint of the public key, 43 characters of base64url. */
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly state: SigningKeyState
  readonly sealedPrivate: Buffer
}

export type NewSigningKey = StoredSigningKey & {
  readonly publicJwk: PublicJwk
  readonly createdAtMs: number
  /** When it begins or began to sign; `undefined` for a key in state next. */
  readonly activatedAtMs: number | undefined
}

/** As published (RFC 7517 section 4): exactly one algorithm, one use, no private member. */
export type PublicJwk = JsonWebKey & {
  readonly kid: string
  readonly use: 'sig'
  readonly alg: SigningAlgorithm
}

/** What signs now. */
export type Signer = {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly privateKey: KeyObject
}

/** What verifies tokens that name `kid`, with `algorithm` and no other (RFC 8725bis section 3.1). */
export type VerificationKey = {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly key: webcrypto.CryptoKey
}
