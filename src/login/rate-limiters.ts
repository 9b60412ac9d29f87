import { createRequire } from 'node:module'
import type * as library from 'rate-limiter-flexible'

/** The library's front door loads an adapter for every store it knows: 7 MB of memory, where two are used. */
const load = createRequire(import.meta.url)

export const RateLimiterMemory: typeof library.RateLimiterMemory = load(
  'rate-limiter-flexible/lib/RateLimiterMemory.js',
)

export const RateLimiterRedis: typeof library.RateLimiterRedis = load(
  'rate-limiter-flexible/lib/RateLimiterRedis.js',
)

/** What a limiter answers, and rejects with when no points are left. */
export const RateLimiterRes: typeof library.RateLimiterRes = load(
  'rate-limiter-flexible/lib/RateLimiterRes.js',
)
