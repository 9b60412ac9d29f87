import {
  type RateLimiterAbstract,
  RateLimiterMemory,
  RateLimiterRedis,
  RateLimiterRes,
} from 'rate-limiter-flexible'
import { type RedisClient, redisFailure } from '../infra/redis/redis.ts'
import type { Clock } from '../lib/machine.ts'
import type { AttemptCounter, AttemptCounters, AttemptWindow } from './login-limits.ts'

export type RedisCounterOptions = {
  readonly client: RedisClient
  readonly clock: Clock
  /** Told once when the counting falls back to this process, not for each attempt. */
  readonly onError: (error: unknown) => void
}

/** Every key is used alone in its command, so that a cluster can hold each on any node. */
const keyPrefix = (name: string): string => `cardea:limit:${name}`

const limiterOptions = (name: string, { attempts, seconds }: AttemptWindow) => ({
  keyPrefix: keyPrefix(name),
  points: attempts,
  duration: seconds,
})

/** Each instance alone, and starting from nothing: half of what all share, so that losing Redis never loosens a limit. */
const localWindow = ({ attempts, seconds }: AttemptWindow): AttemptWindow => ({
  attempts: Math.max(1, Math.floor(attempts / 2)),
  seconds,
})

const counterOver = (limiter: RateLimiterAbstract, clock: Clock): AttemptCounter => {
  // The library rejects with the result when the points are spent, and with an Error when the store failed.
  const consume = (key: string) =>
    limiter.consume(key).catch((failure: unknown) => {
      if (failure instanceof RateLimiterRes) return failure
      throw failure
    })

  return {
    take: async (key) => {
      const { consumedPoints, msBeforeNext } = await consume(key)
      const endsAtMs = clock.monotonicMs() + msBeforeNext
      const giveBack = async () => {
        // After the window has ended, a point given back would be one more than the next window allows.
        if (clock.monotonicMs() < endsAtMs) await limiter.reward(key)
      }
      return { count: consumedPoints, budget: limiter.points, endsInMs: msBeforeNext, giveBack }
    },
    look: async (key) => {
      const state = await limiter.get(key)
      if (state === null || state.msBeforeNext <= 0) return undefined
      return {
        count: state.consumedPoints,
        budget: limiter.points,
        endsInMs: state.msBeforeNext,
      }
    },
    clear: async (key) => {
      await limiter.delete(key)
    },
  }
}

/** Counters of this process alone, for running without a Redis. Lost at a restart. */
export const memoryCounters =
  (clock: Clock): AttemptCounters =>
  (name, window) =>
    counterOver(new RateLimiterMemory(limiterOptions(name, window)), clock)

/**
 * The shared counter, and the local one whenever the shared one fails. The library can do this itself (`insuranceLimiter`)
 * but does not tell which of the two counted, so a point could be given back to the one that never took it.
 * `report` hears of every point whether it was counted together (undefined) or, because of a failure, here alone; `isLocal` is what was
 * heard last. A Redis may refuse to count and still let itself be read: what is looked at is where points are taken.
 */
const withLocalFallback = (
  shared: AttemptCounter,
  local: AttemptCounter,
  report: (failure: unknown) => void,
  isLocal: () => boolean,
): AttemptCounter => ({
  take: async (key) => {
    try {
      const point = await shared.take(key)
      report(undefined)
      return point
    } catch (failure) {
      report(failure)
      return local.take(key)
    }
  },
  look: async (key) => {
    if (isLocal()) return local.look(key)
    const state = await shared.look(key).catch(() => undefined)
    // A point that was taken meanwhile may have found out.
    return isLocal() ? local.look(key) : state
  },
  clear: async (key) => {
    await local.clear(key)
    // A Redis that is away keeps the run of failures until its window ends: stricter, and no reason to fail a login.
    await shared.clear(key).catch(() => undefined)
  },
})

/** Counters shared by all instances on one Redis. While it is away each instance counts for itself, with half the budget. */
export const redisCounters = ({ client, clock, onError }: RedisCounterOptions): AttemptCounters => {
  const local = memoryCounters(clock)
  let isLocal = false
  const report = (failure: unknown) => {
    if (failure !== undefined && !isLocal) onError(redisFailure(failure))
    isLocal = failure !== undefined
  }
  return (name, window) => {
    const shared = new RateLimiterRedis({
      ...limiterOptions(name, window),
      storeClient: client,
      // Known to be away: fall back at once instead of waiting for a timeout.
      rejectIfRedisNotReady: true,
    })
    return withLocalFallback(
      counterOver(shared, clock),
      local(name, localWindow(window)),
      report,
      () => isLocal,
    )
  }
}
