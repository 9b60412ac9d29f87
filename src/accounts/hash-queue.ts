import { boundedQueue } from '../lib/bounded-queue.ts'
import type { Random } from '../lib/machine.ts'
import { accountErrors, type StoredPassword } from './account.ts'
import {
  argon2PasswordHasher,
  loadArgon2,
  type PasswordHasher,
  type PasswordVerdict,
} from './argon2-password-hasher.ts'

export type HashQueueOptions = {
  /**
   * Hashes that run at once, 1 or more. Each takes a core, 19 MiB and a thread of libuv's pool, which DNS and files need too (see
   * `sizeThreadPool`): `max(1, cores - 1)` leaves the event loop a core.
   */
  readonly concurrency: number
  /** Hashes that may wait behind those, 0 or more. Each adds one hash's time, divided by `concurrency`, to the wait. */
  readonly queue: number
  /** The longest wait for a turn, milliseconds; 10 s unless given. */
  readonly maxWaitMs?: number
}

export type BoundedPasswordHasher = Pick<PasswordHasher, 'hash'> & {
  /** As `PasswordHasher.verify`. With `isCallerGone` nothing is hashed for a caller who has left by its turn: `caller_gone`. */
  readonly verify: (
    password: string,
    stored: StoredPassword | undefined,
    isCallerGone?: () => boolean,
  ) => Promise<PasswordVerdict>
  /**
   * Throws `server_busy` when a hash would be refused now. A look, which keeps no place: for whoever has work to do before the hash
   * that would be in vain.
   */
  readonly assertQueueCapacity: () => void
}

/** Shorter than the 15 s after which a request is answered in any case (`answerMs`), so that the reason is told. */
const defaultMaxWaitMs = 10_000

/**
 * The same hasher with a bound on its work, for the whole process: build one and share it. What is over the
 * bound is refused with `server_busy`, before any hashing, so that a flood of logins costs
 * itself and nobody else (and a refused caller learns nothing about the account).
 * Throws a TypeError for options out of range.
 */
export const boundedPasswordHasher = (
  hasher: PasswordHasher,
  { concurrency, queue, maxWaitMs = defaultMaxWaitMs }: HashQueueOptions,
): BoundedPasswordHasher => {
  const { assertQueueCapacity, run } = boundedQueue({
    concurrency,
    queue,
    maxWaitMs,
    refusal: () => accountErrors.error('server_busy', { retryAfterSeconds: 1 }),
  })
  return {
    assertQueueCapacity,
    hash: (password) => run(() => hasher.hash(password)),
    verify: (password, stored, isCallerGone) =>
      run(() => hasher.verify(password, stored), isCallerGone),
  }
}

export type OpenHasherDeps = {
  readonly random: Random
  readonly peppers: readonly string[]
  readonly concurrency: number
  readonly queue: number
}

/** @returns also the name of the package that computes argon2: they differ in CPU time */
export async function openPasswordHasher({ random, peppers, ...limits }: OpenHasherDeps): Promise<{
  readonly hasher: BoundedPasswordHasher
  readonly hashedBy: string
}> {
  const engine = await loadArgon2()
  const unbounded = argon2PasswordHasher({ engine, random, peppers })
  return { hasher: boundedPasswordHasher(unbounded, limits), hashedBy: engine.name }
}
