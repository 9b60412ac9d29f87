import type { KeyObject } from 'node:crypto'
import { importJWK } from 'jose'
import {
  generateSigningKeyPair,
  type PublicJwk,
  publicJwkOf,
  type Signer,
  type SigningAlgorithm,
  type VerificationKey,
} from '../../src/keys/signing-key.ts'

export const everyAlgorithm: readonly SigningAlgorithm[] = ['ES256', 'RS256', 'Ed25519']

export type TestKey = {
  readonly signer: Signer
  readonly publicKey: KeyObject
  readonly publicJwk: PublicJwk
  readonly verificationKey: VerificationKey
}

/** A key of its own for a test, without a database. */
export const newSigningKey = async (algorithm: SigningAlgorithm): Promise<TestKey> => {
  const { privateKey, publicKey } = await generateSigningKeyPair(algorithm)
  const publicJwk = await publicJwkOf(privateKey, algorithm)
  const { kid } = publicJwk
  const key = await importJWK(publicJwk, algorithm)
  if (key instanceof Uint8Array) throw new TypeError('not a public key')
  return {
    signer: { kid, algorithm, privateKey },
    publicKey,
    publicJwk,
    verificationKey: { kid, algorithm, key },
  }
}
