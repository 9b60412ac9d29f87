import { createPublicKey, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint } from 'jose'
import type { PublicJwk, SigningAlgorithm } from './signing-key.ts'

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
