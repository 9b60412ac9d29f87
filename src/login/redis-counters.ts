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
  /** Called once when counting falls back to this process, not for each attempt. */
  readonly onError: (error: unknown) => void
}

/** Each command uses a single key, so a cluster can hold each key on any node. */
const keyPrefix = (name: string): string => `cardea:limit:${name}`

const limiterOptions = (name: string, { attempts, seconds }: AttemptWindow) => ({
  keyPrefix: keyPrefix(name),
  points: attempts,
  duration: seconds,
})

/** The limit of a single process, starting from zero. It is half of the shared limit, so that losing Redis does not loosen a limit. */
const localWindow = ({ attempts, seconds }: AttemptWindow): AttemptWindow => ({
  attempts: Math.max(1, Math.floor(attempts / 2)),
  seconds,
})

const counterOver = (limiter: RateLimiterAbstract, clock: Clock): AttemptCounter => {
  // The library rejects with the result when the points are used up, and with an Error when the store failed.
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
        // After the window has ended, returning a point would allow one more in the next window.
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

/** Counters in the memory of this process, for running without Redis. A restart loses them. */
export const memoryCounters =
  (clock: Clock): AttemptCounters =>
  (name, window) =>
    counterOver(new RateLimiterMemory(limiterOptions(name, window)), clock)

/**
 * The shared counter, with the local one whenever the shared one fails. The library can do this itself (`insuranceLimiter`) but does not
 * say which of the two counted, so a point could be returned to the wrong one. `report` is called for every point: with undefined when it
 * was counted in Redis, or with the failure when it was counted here. `isLocal` is the latest of these states. A Redis may refuse writes
 * but allow reads, so `look` reads where points are taken.
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
    // A point taken in the meantime may have switched to the local counter.
    return isLocal() ? local.look(key) : state
  },
  clear: async (key) => {
    await local.clear(key)
    // An unreachable Redis keeps the run of failures until its window ends. That is stricter, but no reason to fail a login.
    await shared.clear(key).catch(() => undefined)
  },
})

/** Counters that all processes share on one Redis. While it is unreachable each process counts alone, with half the budget. */
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
      // When Redis is known to be unreachable, fall back at once instead of waiting for a timeout.
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
