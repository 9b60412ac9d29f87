import type { Random } from '../lib/random.ts'
import { generateSigningKeyPair } from './generate-key-pair.ts'
import { publicJwkOf } from './public-jwk.ts'
import { sealPrivateKey } from './sealed-private-key.ts'
import type { DerivedKeys } from './secret-ring.ts'
import type { KeyMaterial, NewSigningKey, SigningAlgorithm } from './signing-key.ts'

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
