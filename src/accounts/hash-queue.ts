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
   * Hashes that run at once, 1 or more. Each uses a core, 19 MiB and a thread of libuv's pool, which DNS and files need too (see
   * `sizeThreadPool`). `max(1, cores - 1)` leaves a core to the event loop.
   */
  readonly concurrency: number
  /** Hashes that may wait, 0 or more. Each adds the time of one hash, divided by `concurrency`, to the wait. */
  readonly queue: number
  /** The maximum wait for a turn, in milliseconds. Default: 10 s. */
  readonly maxWaitMs?: number
}

export type BoundedPasswordHasher = Pick<PasswordHasher, 'hash'> & {
  /** Like `PasswordHasher.verify`. With `isCallerGone`, throws `caller_gone` without hashing if the caller has left by its turn. */
  readonly verify: (
    password: string,
    stored: StoredPassword | undefined,
    isCallerGone?: () => boolean,
  ) => Promise<PasswordVerdict>
  /** Throws `server_busy` when a hash would be refused now. It reserves nothing. Call it before other work that would be wasted. */
  readonly assertQueueCapacity: () => void
}

/** Shorter than the 15 s after which every request gets a response (`responseMs`), so that the caller learns the reason. */
const defaultMaxWaitMs = 10_000

/**
 * The same hasher with a bounded queue. Share one for the whole process. Calls beyond the bound get `server_busy` before any hashing, so
 * that a flood of logins does not slow down other requests, and refused callers learn nothing about the account. Throws a TypeError for
 * options out of range.
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

/** @returns also the name of the package that computes argon2, because the packages differ in CPU time */
export async function openPasswordHasher({ random, peppers, ...limits }: OpenHasherDeps): Promise<{
  readonly hasher: BoundedPasswordHasher
  readonly hashedBy: string
}> {
  const engine = await loadArgon2()
  const unbounded = argon2PasswordHasher({ engine, random, peppers })
  return { hasher: boundedPasswordHasher(unbounded, limits), hashedBy: engine.name }
}
