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

const generate = promisify(generateKeyPair)

/** NIST SP 800-57 part 1 puts 3072 bits at the strength of P-256; 2048 is too little for keys made from now on. */
export const rsaModulusBits = 3072

type KeyPair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject }

const makers: Readonly<Record<SigningAlgorithm, () => Promise<KeyPair>>> = {
  ES256: () => generate('ec', { namedCurve: 'P-256' }),
  RS256: () => generate('rsa', { modulusLength: rsaModulusBits }),
  Ed25519: () => generate('ed25519'),
}

/** From OpenSSL's CSPRNG, off the main thread; RSA takes up to some seconds. */
export const generateSigningKeyPair = (algorithm: SigningAlgorithm): Promise<KeyPair> =>
  makers[algorithm]()

/**
 * What is published of a key. Only the public half is ever exported here, so no private member can slip in. The kid is the
 * RFC 7638 thumbprint: it follows from the key, so two keys cannot share one and nobody has to hand them out.
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
 * A new key that has no place yet. To be called before the lock is taken: RSA keys take so long that others would run into
 * their statement timeout.
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

/** Published from now on, and the one that will sign next; `hastenedAtMs` as in `SigningKeyRecord`. */
export const asNext = (
  key: KeyMaterial,
  nowMs: number,
  hastenedAtMs: number | undefined,
): NewSigningKey => ({
  ...key,
  state: 'next',
  createdAtMs: nowMs,
  activatedAtMs: undefined,
  hastenedAtMs,
})

/** Published and signing from now on: for a deployment that has no key that anybody could know. */
export const asActive = (key: KeyMaterial, nowMs: number): NewSigningKey => ({
  ...asNext(key, nowMs, undefined),
  state: 'active',
  activatedAtMs: nowMs,
})
