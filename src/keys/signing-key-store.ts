import type { NewSigningKey, StoredSigningKey } from './signing-key.ts'

export type SigningKeyStore = {
  /** Every key that is not gone, oldest first; empty when there are none, which does not mean that there never were. */
  readonly listUsable: () => Promise<StoredSigningKey[]>
  /** Commits when `work` resolves, changes nothing when it throws. */
  readonly transaction: <T>(work: (keys: SigningKeyTransaction) => Promise<T>) => Promise<T>
}

/** What may only be done with the others kept out. */
export type SigningKeyTransaction = {
  /**
   * Waits until no other instance is changing keys, and keeps them out until the transaction ends. What was read before
   * may have changed: check again. Do nothing slow while holding it.
   */
  readonly lockForRotation: () => Promise<void>
  /** Whether there is any key, in any state, gone ones included. */
  readonly hasAny: () => Promise<boolean>
  readonly insert: (key: NewSigningKey) => Promise<void>
}
