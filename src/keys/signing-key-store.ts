import type { NewSigningKey, SigningKeyRecord, StoredSigningKey } from './signing-key.ts'

export type SigningKeyStore = {
  /** Every key that is not gone, oldest first; empty when there are none, which does not mean that there never were. */
  readonly listUsable: () => Promise<StoredSigningKey[]>
  /** Every key there ever was, oldest first. */
  readonly listAll: () => Promise<SigningKeyRecord[]>
}

/** What is only done with the others kept out, in the transaction of the act. */
export type SigningKeyTransaction = SigningKeyStore & {
  /**
   * Waits until no other instance is changing keys, and keeps them out until the transaction ends. What was read before
   * may have changed: check again. Do nothing slow while holding it.
   * @returns Postgres's time when the lock was taken, milliseconds since the Unix epoch
   */
  readonly lockForRotation: () => Promise<number>
  readonly insert: (key: NewSigningKey) => Promise<void>
  /** The active key stops signing and goes on verifying. */
  readonly retire: (kid: string, atMs: number) => Promise<void>
  /** The next key begins to sign. There must be no active one any more. */
  readonly activate: (kid: string, atMs: number) => Promise<void>
  /** The next key is to sign as soon as it may. */
  readonly hasten: (kid: string, atMs: number) => Promise<void>
  /** The key is gone: its private part is erased for good. */
  readonly erase: (kid: string) => Promise<void>
  /** The same before its time; the first time is kept when it is revoked again. */
  readonly markRevoked: (kid: string, atMs: number) => Promise<void>
}
