import {
  createPublicKey,
  generateKeyPair,
  type JsonWebKey,
  type KeyObject,
  type webcrypto,
} from 'node:crypto'
import { promisify } from 'node:util'
import { calculateJwkThumbprint } from 'jose'
import type { Random } from '../lib/machine.ts'
import { sealPrivateKey } from './sealed-private-key.ts'
import type { DerivedKeys } from './secret-ring.ts'

/** `Ed25519` is the fully specified name (RFC 9864), not `EdDSA`. */
export type SigningAlgorithm = 'ES256' | 'RS256' | 'Ed25519'

/**
 * next: published, does not sign yet; at most one. active: signs; at most one. retiring: verifies until its last token has expired. gone:
 * neither published nor trusted; the row is kept, so that its kid is never reused.
 */
export type SigningKeyState = 'next' | 'active' | 'retiring' | 'gone'

/** A row without the key itself. Times are milliseconds since the Unix epoch; undefined: it has not happened. */
export type SigningKeyRecord = {
  /** RFC 7638 thumbprint of the public key, 43 characters of base64url. */
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly state: SigningKeyState
  /** When it was made and published. */
  readonly createdAtMs: number
  /** When it began to sign. */
  readonly activatedAtMs: number | undefined
  /** When it stopped signing. */
  readonly retiredAtMs: number | undefined
  /** For the next key: when it was decided that it signs as soon as possible, without waiting for the schedule. */
  readonly rotateEarlyAtMs: number | undefined
  readonly revokedAtMs: number | undefined
}

/** The row of a key that is not erased. The private part is encrypted, so the database alone reveals no key. */
export type StoredSigningKey = SigningKeyRecord & { readonly sealedPrivate: Buffer }

/** A new key without a state. */
export type KeyMaterial = Pick<StoredSigningKey, 'kid' | 'algorithm' | 'sealedPrivate'> & {
  readonly publicJwk: PublicJwk
}

export type NewSigningKey = KeyMaterial &
  Pick<SigningKeyRecord, 'createdAtMs' | 'activatedAtMs' | 'rotateEarlyAtMs'> & {
    readonly state: 'next' | 'active'
  }

/** As published (RFC 7517 section 4): exactly one algorithm, one use, no private member. */
export type PublicJwk = JsonWebKey & {
  readonly kid: string
  readonly use: 'sig'
  readonly alg: SigningAlgorithm
}

/** The key that signs now. */
export type Signer = {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly privateKey: KeyObject
}

/** The key for tokens with this `kid`, used with `algorithm` only (RFC 8725bis section 3.1). */
export type VerificationKey = {
  readonly kid: string
  readonly algorithm: SigningAlgorithm
  readonly key: webcrypto.CryptoKey
}

/** The form of a kid. */
export const kidPattern = '^[A-Za-z0-9_-]{43}$'

const generate = promisify(generateKeyPair)

/** NIST SP 800-57 part 1 rates 3072 bits like P-256. 2048 bits are too weak for new keys. */
export const rsaModulusBits = 3072

type KeyPair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject }

const makers: Readonly<Record<SigningAlgorithm, () => Promise<KeyPair>>> = {
  ES256: () => generate('ec', { namedCurve: 'P-256' }),
  RS256: () => generate('rsa', { modulusLength: rsaModulusBits }),
  Ed25519: () => generate('ed25519'),
}

/** Made by OpenSSL's CSPRNG, off the main thread. RSA takes up to some seconds. */
export const generateSigningKeyPair = (algorithm: SigningAlgorithm): Promise<KeyPair> =>
  makers[algorithm]()

/**
 * The published form of a key. Only the public half is ever exported, so no private member can be included. The kid is the RFC 7638
 * thumbprint: it is derived from the key, so two keys cannot share one.
 */
export const publicJwkOf = async (
  privateKey: KeyObject,
  algorithm: SigningAlgorithm,
): Promise<PublicJwk> => {
  const jwk = createPublicKey(privateKey).export({ format: 'jwk' })
  const kid = await calculateJwkThumbprint(jwk, 'sha256')
  return { ...jwk, kid, use: 'sig', alg: algorithm }
}

/**
 * A new key without a state. Call it before taking the lock: RSA keys take so long that other transactions would reach their statement
 * timeout.
 */
export const makeKey = async (
  algorithm: SigningAlgorithm,
  { sealingKeys, random }: { readonly sealingKeys: DerivedKeys; readonly random: Random },
): Promise<KeyMaterial> => {
  const { privateKey } = await generateSigningKeyPair(algorithm)
  const publicJwk = await publicJwkOf(privateKey, algorithm)
  const { kid } = publicJwk
  return {
    kid,
    algorithm,
    publicJwk,
    sealedPrivate: sealPrivateKey(kid, privateKey, sealingKeys, random),
  }
}

/** The key is published from now on and signs next. `rotateEarlyAtMs` as in `SigningKeyRecord`. */
export const asNext = (
  key: KeyMaterial,
  nowMs: number,
  rotateEarlyAtMs: number | undefined,
): NewSigningKey => ({
  ...key,
  state: 'next',
  createdAtMs: nowMs,
  activatedAtMs: undefined,
  rotateEarlyAtMs,
})

/** The key is published and signs from now on, for a deployment whose keys nobody can have cached. */
export const asActive = (key: KeyMaterial, nowMs: number): NewSigningKey => ({
  ...asNext(key, nowMs, undefined),
  state: 'active',
  activatedAtMs: nowMs,
})
