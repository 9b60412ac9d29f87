import type { JsonWebKey, KeyObject, webcrypto } from 'node:crypto'

/** `Ed25519` is the fully specified name (RFC 9864), not `EdDSA`. */
export type SigningAlgorithm = 'ES256' | 'RS256' | 'Ed25519'

/**
 * next: published, does not sign yet; at most one. active: signs; at most one. retiring: verifies until its last token has expired.
 * gone: neither published nor trusted; the row stays, so that its kid is never taken for a new one.
 */
export type SigningKeyState = 'next' | 'active' | 'retiring' | 'gone'

/** A row, without the key itself. Times are milliseconds since the Unix epoch; undefined: it has not happened. */
export type SigningKeyRecord = {
  /** RFC 7638 thumbprint of the public key, 43 characters of base64url. */
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly state: SigningKeyState
  /** When it was made and, in the same moment, published. */
  readonly createdAtMs: number
  /** When it began to sign. */
  readonly activatedAtMs: number | undefined
  /** When it stopped signing. */
  readonly retiredAtMs: number | undefined
  /** Of the next key: when it was decided that it is to sign as soon as it may, without waiting for the schedule. */
  readonly hastenedAtMs: number | undefined
  readonly revokedAtMs: number | undefined
}

/** A row of a key that is not gone. The private part is sealed: useless to whoever holds the database alone. */
export type StoredSigningKey = SigningKeyRecord & { readonly sealedPrivate: Buffer }

/** A new key, before it has a place among the others. */
export type KeyMaterial = Pick<StoredSigningKey, 'kid' | 'algorithm' | 'sealedPrivate'> & {
  readonly publicJwk: PublicJwk
}

export type NewSigningKey = KeyMaterial &
  Pick<SigningKeyRecord, 'createdAtMs' | 'activatedAtMs' | 'hastenedAtMs'> & {
    readonly state: 'next' | 'active'
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

/** The form of a kid of ours. */
export const kidPattern = '^[A-Za-z0-9_-]{43}$'
