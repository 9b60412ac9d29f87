import pLimit from 'p-limit'
import { accountErrors } from './errors.ts'
import type { PasswordHasher } from './password-hasher.ts'

export type HashQueueOptions = {
  /**
   * Hashes that run at once, 1 or more. Each takes a core, 19 MiB and a thread of libuv's pool, which DNS and files need too (see
   * `sizeThreadPool`): `max(1, cores - 1)` leaves the event loop a core.
   */
  readonly concurrency: number
  /** Hashes that may wait behind those, 0 or more. Each adds one hash's time, divided by `concurrency`, to the wait. */
  readonly queue: number
}

export type BoundedPasswordHasher = PasswordHasher & {
  /**
   * Throws `server_busy` when a hash would be refused now. A look, which keeps no place: for whoever has work to do before the hash
   * that would be in vain.
   */
  readonly demandRoom: () => void
}

/**
 * The same hasher with a bound on its work, for the whole process: build one and share it. What is over the
 * bound is refused with `server_busy` at once, before any hashing, so that a flood of sign-ins costs
 * itself and nobody else (and a refused caller learns nothing about the account).
 * Throws a TypeError for options out of range.
 */
export const boundedPasswordHasher = (
  hasher: PasswordHasher,
  { concurrency, queue }: HashQueueOptions,
): BoundedPasswordHasher => {
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new TypeError('concurrency must be an integer of 1 or more')
  }
  if (!Number.isInteger(queue) || queue < 0) {
    throw new TypeError('queue must be an integer of 0 or more')
  }
  const limit = pLimit(concurrency)
  const demandRoom = (): void => {
    if (limit.activeCount + limit.pendingCount >= concurrency + queue) {
      throw accountErrors.error('server_busy', { retryAfterSeconds: 1 })
    }
  }
  const admit = <Result>(work: () => Promise<Result>): Promise<Result> => {
    demandRoom()
    return limit(work)
  }
  return {
    demandRoom,
    hash: async (password) => admit(() => hasher.hash(password)),
    verify: async (password, stored) => admit(() => hasher.verify(password, stored)),
  }
}
