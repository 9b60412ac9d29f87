import type { Clock } from '../clock.ts'
import { VerifierError } from '../errors.ts'
import type { VerificationKey } from '../tokens/verification-key.ts'
import type { FetchedKeys, FetchKeySet } from './fetch-key-set.ts'
import { type HeldKeys, holdKeys, type KeyEvent } from './held-keys.ts'
import { createUnknownKids } from './unknown-kids.ts'

/** What `followKeys` needs. It knows nothing of HTTP and of time but through these. */
export type FollowKeysOptions = {
  readonly fetchKeySet: FetchKeySet
  readonly clock: Clock
  /** A number from 0 up to and not including 1. */
  readonly fraction: () => number
  readonly onEvent: (event: KeyEvent) => void
}

/** The issuer's keys, as of a short while ago. */
export type FollowedKeys = {
  /**
   * The key of this name, or undefined when the issuer has none. Known keys are answered at once; for an unknown one the issuer is asked,
   * once for all that wait and at most every 30 s.
   *
   * @throws {VerifierError} `keys_unavailable` when the last good keys are too old, or when the issuer cannot be asked for this one
   */
  readonly keyOf: (
    kid: string,
  ) => VerificationKey | undefined | Promise<VerificationKey | undefined>
  /** Whether there were keys at any time. */
  readonly isLoaded: () => boolean
  readonly size: () => number
  /** Since the issuer last confirmed them; undefined before it first did. */
  readonly ageMs: () => number | undefined
  /** Stops asking, and resolves when nothing is left running. */
  readonly close: () => Promise<void>
}

/**
 * The least time between two requests that tokens can cause, counted from the last attempt, so that a flood of unknown kids is no flood
 * of requests while the issuer fails either.
 */
const cooldownMs = 30_000

/** While the issuer cannot be asked, keys are trusted this long; those that the feed revokes are not trusted at all. */
const lastGoodMs = 24 * 60 * 60 * 1000

/** What the issuer may choose, and what is taken when it says nothing: seconds. */
const refreshSeconds = { least: 60, most: 600, unsaid: 300 }

/** Some time before the answer is stale, and not all verifiers at once. */
const refreshAfterMs = (fetched: FetchedKeys, fraction: number): number => {
  const { least, most, unsaid } = refreshSeconds
  const seconds = Math.min(most, Math.max(least, fetched.maxAgeSeconds ?? unsaid))
  return seconds * (800 + 200 * fraction)
}

/**
 * How long to wait before the next request that no token asks for. Without any keys nothing works, so the first ones are asked for more
 * often: doubling from a quarter of a second to half a minute.
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
 * Begins at once to fetch the keys, and goes on until it is closed. Three clocks rule it: the age that the issuer allows (a new request),
 * the cool-down (no request that a token asks for), and a day (no trust in what could not be confirmed since).
 */
export const followKeys = (options: FollowKeysOptions): FollowedKeys => {
  const { clock, fraction } = options
  const stop = new AbortController()
  const held = holdKeys({ ...options, signal: stop.signal })
  const unknown = createUnknownKids()

  const isCoolingDown = (): boolean => held.sinceAttemptMs() < cooldownMs

  /** Runs until `close`; never rejects, since `refresh` does not. */
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

  /** Asks the issuer on behalf of a token; all that come while it is asked wait for the same answer. */
  const askFor = async (kid: string): Promise<VerificationKey | undefined> => {
    await held.refresh()
    const key = held.fetched()?.keys.get(kid)
    if (key !== undefined) return key
    // No answer is no verdict: the token may be signed with a key that is new.
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
