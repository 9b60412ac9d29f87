import { AppError } from '../lib/app-error.ts'
import type { Clock } from '../lib/clock.ts'
import { shareReads } from '../lib/share-reads.ts'
import { keyErrors } from './errors.ts'
import { servedUnreadMs, signsUnreadMs, signsUnreadSlackMs } from './key-times.ts'
import type { KeySet } from './load-key-set.ts'

export type CurrentKeySetOptions = {
  readonly load: () => Promise<KeySet>
  readonly clock: Clock
  /** Whether this process has learned by another way, faster than by reading the rows, that the key was revoked. */
  readonly isRevoked: (kid: string) => boolean
}

/** The key set of one instance: read as a whole, swapped as a whole, and only used for as long as it can be relied on. */
export type CurrentKeySet = {
  /**
   * Reads the rows and takes over what they say. Calls at once share a reading that begins after them. When it fails, the old
   * set stays in use. Throws `WrongKeyEncryptionKey`, `SigningKeysDamaged`, `store_unavailable`.
   */
  readonly read: () => Promise<KeySet>
  /** The set as it was last read, however long ago. */
  readonly known: () => KeySet | undefined
  /**
   * The set to sign with.
   * @throws signing_keys_unavailable when it could not be read for too long
   */
  readonly toSign: () => KeySet
  /**
   * Resolves when there will be a key to sign with for as long as a request takes; reads again when that is in doubt. To be
   * awaited before anything is consumed that a signature is the answer to.
   * @throws signing_keys_unavailable, store_unavailable
   */
  readonly readyToSign: () => Promise<void>
  /**
   * The set to publish; a promise of it when it must be read again, because it is old or holds a key that was revoked elsewhere.
   * The promise rejects with signing_keys_unavailable or store_unavailable.
   */
  readonly toServe: () => KeySet | Promise<KeySet>
}

const unavailable = (cause: unknown): AppError =>
  cause instanceof AppError
    ? cause
    : keyErrors.error('signing_keys_unavailable', { retryAfterSeconds: 5, cause })

const tooOld = () => unavailable(new Error('the keys were not read for too long'))

export const currentKeySet = ({ load, clock, isRevoked }: CurrentKeySetOptions): CurrentKeySet => {
  let held: { readonly keySet: KeySet; readonly readAtMs: number } | undefined

  const read = shareReads(async () => {
    // Before the statement: what is in the answer may be this old.
    const readAtMs = clock.monotonicMs()
    const keySet = await load()
    held = { keySet, readAtMs }
    return keySet
  })

  /** The set, if it was read no longer than that ago. A process that was stopped for hours finds out here, too. */
  const within = (limitMs: number): KeySet | undefined =>
    held && clock.monotonicMs() - held.readAtMs <= limitMs ? held.keySet : undefined

  /** A key of the set was revoked elsewhere: our copy is old, however fresh it is. */
  const holdsRevoked = ({ rows }: KeySet): boolean => rows.some(({ kid }) => isRevoked(kid))

  const readAgain = (): Promise<KeySet> =>
    read().catch((error: unknown) => {
      throw unavailable(error)
    })

  return {
    read,
    known: () => held?.keySet,
    toSign: () => {
      const keySet = within(signsUnreadMs + signsUnreadSlackMs)
      if (!keySet) throw tooOld()
      return keySet
    },
    readyToSign: async () => {
      const keySet = within(signsUnreadMs)
      if (keySet && !holdsRevoked(keySet)) return
      const { signer } = await readAgain()
      // The rows are read from the same database as the revocation: this is not expected to happen.
      if (isRevoked(signer.kid)) throw unavailable(new Error(`${signer.kid} is revoked and active`))
    },
    toServe: () => {
      const keySet = within(servedUnreadMs)
      return keySet && !holdsRevoked(keySet) ? keySet : readAgain()
    },
  }
}
