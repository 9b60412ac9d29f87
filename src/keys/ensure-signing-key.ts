import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/random.ts'
import { generateSigningKeyPair } from './generate-key-pair.ts'
import { publicJwkOf } from './public-jwk.ts'
import { sealPrivateKey } from './sealed-private-key.ts'
import type { DerivedKeys } from './secret-ring.ts'
import type { NewSigningKey, SigningAlgorithm } from './signing-key.ts'
import type { SigningKeyStore } from './signing-key-store.ts'

type Dependencies = {
  readonly store: SigningKeyStore
  readonly sealingKeys: DerivedKeys
  readonly algorithm: SigningAlgorithm
  readonly clock: Clock
  readonly random: Random
}

const makeActiveKey = async (deps: Dependencies): Promise<NewSigningKey> => {
  const { privateKey } = await generateSigningKeyPair(deps.algorithm)
  const publicJwk = await publicJwkOf(privateKey, deps.algorithm)
  const nowMs = deps.clock.nowMs()
  return {
    kid: publicJwk.kid,
    algorithm: deps.algorithm,
    // The very first key signs at once: no verifier can have cached a key set without it.
    state: 'active',
    publicJwk,
    sealedPrivate: sealPrivateKey(publicJwk.kid, privateKey, deps.sealingKeys, deps.random),
    createdAtMs: nowMs,
    activatedAtMs: nowMs,
  }
}

/**
 * Makes the first signing key of a new deployment. Any row at all, also of a key that is gone, means that this is not one:
 * then nothing is made, whatever state the rows are in.
 */
export const ensureSigningKey = (deps: Dependencies) => async (): Promise<'made' | 'exists'> => {
  const { store } = deps
  if (await store.transaction((keys) => keys.hasAny())) return 'exists'
  // Before the lock: RSA keys take so long that the others would run into their statement timeout.
  const key = await makeActiveKey(deps)
  return store.transaction(async (keys) => {
    await keys.lockForRotation()
    // Several instances start at once on an empty database; all but one find the winner's key here and drop their own.
    if (await keys.hasAny()) return 'exists'
    await keys.insert(key)
    return 'made'
  })
}
