import type { Route } from '../http/route.ts'
import type { Clock, Random } from '../lib/machine.ts'
import { keyRoutes } from './jwks.ts'
import { type Kept, keepKeys } from './keep-keys.ts'
import { currentKeySet, keySetLoader } from './key-set.ts'
import { ensureSigningKeys, type KeyRotation, rotateKeys } from './rotate-keys.ts'
import { keyLabels, type SecretRing } from './secret-ring.ts'
import type { Signer, SigningAlgorithm, SigningKeyRecord, VerificationKey } from './signing-key.ts'
import type { InKeyTransaction, KeyActor, SigningKeyStore } from './signing-key-store.ts'
import { type Withdrawal, withdrawKey } from './withdraw-key.ts'

export { keyErrors } from './errors.ts'
export { rereadEveryMs } from './key-schedule.ts'
export { onceReadyToSign } from './key-set.ts'
export { WrongKeyEncryptionKey } from './sealed-private-key.ts'
export {
  type KeyLabel,
  keyLabels,
  type SecretRing,
  sealedLabel,
  secretRing,
} from './secret-ring.ts'
export {
  kidPattern,
  type Signer,
  type SigningAlgorithm,
  type SigningKeyRecord,
  type VerificationKey,
} from './signing-key.ts'
export {
  postgresSigningKeyStore,
  postgresSigningKeyTransaction,
  type SigningKeyTransaction,
} from './signing-key-store.ts'
export type { Withdrawal } from './withdraw-key.ts'

export type SigningKeysDeps = {
  readonly store: SigningKeyStore
  readonly inTransaction: InKeyTransaction
  readonly secrets: SecretRing
  /** For new keys. Existing keys keep theirs. */
  readonly algorithm: SigningAlgorithm
  /** The age at which the active key is replaced. */
  readonly rotationMs: number
  /** Whether this process knows of the key's revocation, which it may learn sooner than by rereading. */
  readonly isRevoked: (kid: string) => boolean
  readonly clock: Clock
  readonly random: Random
}

/**
 * Owns every key: the purposes that CARDEA_SECRET is split into, and the signing keys in Postgres with their public halves at
 * `/.well-known/jwks.json`. It passes private keys only to the code that signs, and knows nothing about tokens.
 */
export type SigningKeys = {
  /**
   * Makes the first keys if there never were any, then loads all. Throws `WrongKeyEncryptionKey`, `SigningKeysDamaged` or
   * `store_unavailable`, after which the process must not start.
   */
  readonly open: () => Promise<void>
  /** For the log at the start, after `open`. */
  readonly warnings: () => readonly string[]
  /**
   * Wait for it before consuming anything that requires a signed response. Free while the keys are fresh.
   * @throws signing_keys_unavailable, store_unavailable
   */
  readonly readyToSign: () => Promise<void>
  /**
   * The current signer. Call it for each token, because rotation changes it.
   * @throws signing_keys_unavailable when the keys could not be read for too long
   */
  readonly signer: () => Signer
  /** The published key with this kid; `undefined` for an unknown or erased one. Reads memory only. */
  readonly verificationKey: (kid: string) => VerificationKey | undefined
  /** The distinct algorithms of the published keys, with which tokens may be signed. */
  readonly algorithms: () => readonly SigningAlgorithm[]
  readonly routes: readonly Route[]
  /** Rereads the rows and uses them at once. Does nothing before `open`. Throws what `open` throws. */
  readonly reread: () => Promise<void>
  /**
   * Rereads, then does what is due: a rotation, a missing next key, the end of a retired one. Every process calls it every `rereadEveryMs`.
   */
  readonly keep: () => Promise<Kept>
  readonly rotate: (actor: KeyActor) => Promise<KeyRotation>
  /** Every key that ever existed, oldest first. Decrypts none. */
  readonly list: () => Promise<SigningKeyRecord[]>
  /** The first half of revoking a key. The second half runs in the transaction that records it. */
  readonly withdraw: (kid: string) => Promise<Withdrawal>
}

const system = { kind: 'system' } as const

export const signingKeys = (deps: SigningKeysDeps): SigningKeys => {
  const { store, algorithm, rotationMs } = deps
  const sealingKeys = deps.secrets.derive(keyLabels.keySeal)
  const current = currentKeySet({ ...deps, load: keySetLoader(store, sealingKeys) })
  const { read } = current
  const keep = keepKeys({ ...deps, sealingKeys, schedule: { algorithm, rotationMs } })
  const reread = async (): Promise<void> => {
    if (current.known()) await read()
  }
  return {
    open: async () => {
      await ensureSigningKeys({ ...deps, sealingKeys })()
      await read()
    },
    warnings: () => {
      const inUse = current.known()?.signer.algorithm
      if (inUse === undefined || inUse === algorithm) return []
      return [
        `tokens are signed with ${inUse}: the next rotation, or \`cardea keys rotate\`, begins the change to SIGNING_ALGORITHM ${algorithm}`,
      ]
    },
    readyToSign: current.readyToSign,
    signer: current.signer,
    verificationKey: (kid) => current.known()?.verificationKeys.get(kid),
    algorithms: () => {
      const published = current.known()?.verificationKeys.values() ?? []
      return [...new Set([...published].map((key) => key.algorithm))]
    },
    routes: keyRoutes(() => {
      const keySet = current.toServe()
      return keySet instanceof Promise ? keySet.then(({ jwks }) => jwks) : keySet.jwks
    }),
    reread,
    keep: async () => {
      const { rows } = await read()
      const kept = await keep({ keys: rows, isAsked: false, actor: system })
      if (kept.kind !== 'nothing_due') await read()
      return kept
    },
    rotate: rotateKeys({ read, keep }),
    list: store.listAll,
    withdraw: withdrawKey({ ...deps, read, sealingKeys }),
  }
}

export type KeysInUse = { readonly algorithm: SigningAlgorithm; readonly count: number }

/**
 * Reads and decrypts all keys without changing anything, for checks by commands. Undefined when there never was one. Throws
 * `WrongKeyEncryptionKey`, `SigningKeysDamaged` or `store_unavailable`.
 */
export const inspectKeys = async ({
  store,
  secrets,
}: Pick<SigningKeysDeps, 'store' | 'secrets'>): Promise<KeysInUse | undefined> => {
  if ((await store.listAll()).length === 0) return undefined
  const load = keySetLoader(store, secrets.derive(keyLabels.keySeal))
  const { signer, verificationKeys } = await load()
  return { algorithm: signer.algorithm, count: verificationKeys.size }
}
