import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/random.ts'
import { ensureSigningKey } from './ensure-signing-key.ts'
import { keyLabels } from './labels.ts'
import { loadKeySet } from './load-key-set.ts'
import { keyRoutes } from './routes.ts'
import type { SecretRing } from './secret-ring.ts'
import type { Signer, SigningAlgorithm, VerificationKey } from './signing-key.ts'
import type { SigningKeyStore } from './signing-key-store.ts'

export { type KeyLabel, keyLabels } from './labels.ts'
export { postgresSigningKeyStore } from './postgres-signing-key-store.ts'
export { WrongKeyEncryptionKey } from './sealed-private-key.ts'
export { type SecretRing, secretRing } from './secret-ring.ts'
export type { Signer, SigningAlgorithm, VerificationKey } from './signing-key.ts'

type Dependencies = {
  readonly store: SigningKeyStore
  readonly secrets: SecretRing
  /** For keys that are yet to be made; those that exist keep theirs. */
  readonly algorithm: SigningAlgorithm
  readonly clock: Clock
  readonly random: Random
}

/**
 * Owns every key: the purposes that CARDEA_SECRET is split into, the signing keys in Postgres and their public half at
 * `/.well-known/jwks.json`. Never hands a private key to anything but what signs, and knows nothing of tokens.
 */
export type Keys = {
  /** What signs now. Ask for each token: it changes with rotation. */
  readonly signer: () => Signer
  /** The published key of that kid; `undefined` for a kid that is unknown, or gone. A look-up in memory, nothing else. */
  readonly verificationKey: (kid: string) => VerificationKey | undefined
  readonly routes: ReturnType<typeof keyRoutes>
  /** For the log at start. */
  readonly warnings: readonly string[]
}

/**
 * Makes the first signing key when there never was one, then loads all. Throws `WrongKeyEncryptionKey`,
 * `SigningKeysDamaged` or `store_unavailable`; the process must not start then.
 */
export const openKeys = async (deps: Dependencies): Promise<Keys> => {
  const sealingKeys = deps.secrets.derive(keyLabels.keySeal)
  await ensureSigningKey({ ...deps, sealingKeys })()
  const keySet = await loadKeySet(deps.store, sealingKeys)
  const inUse = keySet.signer.algorithm
  return {
    signer: () => keySet.signer,
    verificationKey: (kid) => keySet.verificationKeys.get(kid),
    routes: keyRoutes(() => keySet.jwks),
    warnings:
      inUse === deps.algorithm
        ? []
        : [
            `tokens are signed with ${inUse}: SIGNING_ALGORITHM ${deps.algorithm} waits for the next rotation`,
          ],
  }
}

export type KeysInUse = { readonly algorithm: SigningAlgorithm; readonly count: number }

/**
 * Reads and unseals all keys and changes nothing, for checks from outside. Undefined when there never was one. Throws
 * `WrongKeyEncryptionKey`, `SigningKeysDamaged` or `store_unavailable`.
 */
export const inspectKeys = async ({
  store,
  secrets,
}: Pick<Dependencies, 'store' | 'secrets'>): Promise<KeysInUse | undefined> => {
  if (!(await store.transaction((keys) => keys.hasAny()))) return undefined
  const { signer, verificationKeys } = await loadKeySet(store, secrets.derive(keyLabels.keySeal))
  return { algorithm: signer.algorithm, count: verificationKeys.size }
}
