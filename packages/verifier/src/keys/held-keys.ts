import type { Clock } from '../clock.ts'
import type { FetchedKeys, FetchKeySet } from './fetch-key-set.ts'
import type { KeySet } from './read-key-set.ts'

export type KeyEvent =
  | { readonly type: 'keys'; readonly kids: readonly string[] }
  /** The keys could not be fetched or were invalid. The last good ones stay in use. */
  | { readonly type: 'error'; readonly error: unknown }

type Dependencies = {
  readonly fetchKeySet: FetchKeySet
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly onEvent: (event: KeyEvent) => void
  /** Ends a running attempt. */
  readonly signal: AbortSignal
}

/** The last good key set, and the result of the last attempt to fetch a newer one. */
export type HeldKeys = {
  /** Fetches, or waits for the running fetch. Never rejects. */
  readonly refresh: () => Promise<void>
  readonly isRefreshing: () => boolean
  readonly fetched: () => FetchedKeys | undefined
  /** The time since the issuer last confirmed the set. Undefined before the first time. */
  readonly ageMs: () => number | undefined
  /** The time since the last attempt began, whatever its result. */
  readonly sinceAttemptMs: () => number
  /** The error of the last attempt. Undefined when it succeeded. */
  readonly failure: () => { readonly error: unknown } | undefined
}

/** Compared by kid, which is a digest of the key. */
const isSame = (before: KeySet | undefined, after: KeySet): boolean =>
  before?.size === after.size && Array.from(after.keys()).every((kid) => before.has(kid))

/**
 * Keeps the last good set and replaces it as a whole: an invalid set changes nothing, even if a part of it is valid. One attempt at a time,
 * shared by all callers.
 */
export const holdKeys = ({ fetchKeySet, clock, onEvent, signal }: Dependencies): HeldKeys => {
  let fetched: FetchedKeys | undefined
  let failure: { readonly error: unknown } | undefined
  let confirmedAtMs = 0
  let attemptedAtMs = 0
  let underWay: Promise<void> | undefined

  const attempt = async (): Promise<void> => {
    // Taken before the request: changes during the response are not part of it.
    const startedAtMs = clock.monotonicMs()
    attemptedAtMs = startedAtMs
    try {
      const before = fetched?.keys
      fetched = await fetchKeySet(fetched, signal)
      confirmedAtMs = startedAtMs
      failure = undefined
      const { keys } = fetched
      if (!isSame(before, keys)) onEvent({ type: 'keys', kids: Array.from(keys.keys()) })
    } catch (error) {
      failure = { error }
      if (!signal.aborted) onEvent({ type: 'error', error })
    }
  }

  return {
    refresh: () => {
      underWay ??= attempt().finally(() => {
        underWay = undefined
      })
      return underWay
    },
    isRefreshing: () => underWay !== undefined,
    fetched: () => fetched,
    ageMs: () => (fetched === undefined ? undefined : clock.monotonicMs() - confirmedAtMs),
    sinceAttemptMs: () => clock.monotonicMs() - attemptedAtMs,
    failure: () => failure,
  }
}
