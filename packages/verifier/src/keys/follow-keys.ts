import type { Clock } from '../clock.ts'
import { VerifierError } from '../errors.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import type { FetchedKeys, FetchKeySet } from './fetch-key-set.ts'
import { type HeldKeys, holdKeys, type KeyEvent } from './held-keys.ts'
import { createUnknownKids } from './unknown-kids.ts'

/** The dependencies of `followKeys`. It uses HTTP and time only through these. */
export type FollowKeysOptions = {
  readonly fetchKeySet: FetchKeySet
  readonly clock: Clock
  /** A number in [0, 1). */
  readonly fraction: () => number
  readonly onEvent: (event: KeyEvent) => void
}

/** The issuer's current keys. */
export type FollowedKeys = {
  /**
   * The key with this kid, or undefined when the issuer has none. Known keys are returned at once. For an unknown one the issuer is asked,
   * once for all waiting calls and at most every 30 s.
   *
   * @throws {VerifierError} `keys_unavailable` when the last good keys are too old, or when the issuer cannot be asked for this one
   */
  readonly keyOf: (
    kid: string,
  ) => VerificationKey | undefined | Promise<VerificationKey | undefined>
  /** Whether keys were ever loaded. */
  readonly isLoaded: () => boolean
  readonly size: () => number
  /** The time since the issuer last confirmed them. Undefined before the first time. */
  readonly ageMs: () => number | undefined
  /** Stops fetching, and resolves when nothing is left running. */
  readonly close: () => Promise<void>
}

/**
 * The minimum time between two requests that tokens can cause, counted from the last attempt. So a flood of unknown kids causes no flood of
 * requests, even while the issuer fails.
 */
const cooldownMs = 30_000

/** How long keys are trusted while the issuer cannot be reached. Keys that the feed revokes are not trusted at all. */
const lastGoodMs = 24 * 60 * 60 * 1000

/** The bounds for the issuer's `max-age`, and its default, in seconds. */
const refreshSeconds = { least: 60, most: 600, unsaid: 300 }

/** A random time before the response becomes stale, so that not all verifiers fetch at once. */
const refreshAfterMs = (fetched: FetchedKeys, fraction: number): number => {
  const { least, most, unsaid } = refreshSeconds
  const seconds = Math.min(most, Math.max(least, fetched.maxAgeSeconds ?? unsaid))
  return seconds * (800 + 200 * fraction)
}

/**
 * The pause before the next regular request. Nothing works without keys, so the first ones are retried more often: from a quarter of a
 * second, doubling up to half a minute.
 */
const pauseMs = (held: HeldKeys, failures: number, fraction: number): number => {
  const fetched = held.fetched()
  if (fetched === undefined) {
    const doubledMs = Math.min(cooldownMs, 250 * 2 ** Math.min(failures, 10))
    return doubledMs * (0.5 + fraction / 2)
  }
  return failures === 0 ? refreshAfterMs(fetched, fraction) : cooldownMs * (1 + fraction)
}

/**
 * Starts to fetch the keys at once, and continues until it is closed. It uses three times: the issuer's maximum age (then it fetches
 * again), the cool-down (no token can cause a request), and a day (unconfirmed keys are no longer trusted).
 */
export const followKeys = (options: FollowKeysOptions): FollowedKeys => {
  const { clock, fraction } = options
  const stop = new AbortController()
  const held = holdKeys({ ...options, signal: stop.signal })
  const unknown = createUnknownKids()

  const isCoolingDown = (): boolean => held.sinceAttemptMs() < cooldownMs

  /** Runs until `close`. Never rejects, because `refresh` does not. */
  const follow = async (): Promise<void> => {
    let failures = 0
    while (!stop.signal.aborted) {
      await held.refresh()
      failures = held.failure() === undefined ? 0 : failures + 1
      await clock.sleep(pauseMs(held, failures, fraction()), stop.signal)
      // A token with an unknown kid may have caused a request in the meantime.
      if (held.fetched() !== undefined && isCoolingDown()) {
        await clock.sleep(cooldownMs, stop.signal)
      }
    }
  }
  const following = follow()

  const unavailable = (): VerifierError =>
    new VerifierError('keys_unavailable', { cause: held.failure()?.error })

  /** Asks the issuer for a token's key. Calls during the request share its response. */
  const askFor = async (kid: string): Promise<VerificationKey | undefined> => {
    await held.refresh()
    const key = held.fetched()?.keys.get(kid)
    if (key !== undefined) return key
    // Without a response nothing is known: the token may be signed with a new key.
    if (held.failure() !== undefined) throw unavailable()
    unknown.add(kid, clock.monotonicMs())
    return undefined
  }

  return {
    keyOf: (kid) => {
      if ((held.ageMs() ?? Number.POSITIVE_INFINITY) > lastGoodMs) throw unavailable()
      const key = held.fetched()?.keys.get(kid)
      if (key !== undefined) return key
      if (unknown.has(kid, clock.monotonicMs())) return undefined
      if (held.isRefreshing() || !isCoolingDown()) return askFor(kid)
      if (held.failure() !== undefined) throw unavailable()
      return undefined
    },
    isLoaded: () => held.fetched() !== undefined,
    size: () => held.fetched()?.keys.size ?? 0,
    ageMs: held.ageMs,
    close: async () => {
      stop.abort()
      await following
    },
  }
}
