import type { Clock } from '../clock.ts'
import type { FetchedKeys, FetchKeySet } from './fetch-key-set.ts'
import type { KeySet } from './read-key-set.ts'

export type KeyEvent =
  | { readonly type: 'keys'; readonly kids: readonly string[] }
  /** The keys could not be fetched, or were not sound; the last good ones stay in use. */
  | { readonly type: 'error'; readonly error: unknown }

type Dependencies = {
  readonly fetchKeySet: FetchKeySet
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly onEvent: (event: KeyEvent) => void
  /** Ends an attempt that is under way. */
  readonly signal: AbortSignal
}

/** The last good set, and how the last attempt to get a newer one went. */
export type HeldKeys = {
  /** Fetches, or waits for the fetching that is under way; never rejects. */
  readonly refresh: () => Promise<void>
  readonly isRefreshing: () => boolean
  readonly fetched: () => FetchedKeys | undefined
  /** Since the issuer last confirmed the set; undefined before it first did. */
  readonly ageMs: () => number | undefined
  /** Since the last attempt began, whatever came of it. */
  readonly sinceAttemptMs: () => number
  /** Why the last attempt failed; undefined when it did not. */
  readonly failure: () => { readonly error: unknown } | undefined
}

/** By kid: those are digests of the keys. */
const isSame = (before: KeySet | undefined, after: KeySet): boolean =>
  before?.size === after.size && Array.from(after.keys()).every((kid) => before.has(kid))

/**
 * Keeps the last good set and replaces it as a whole: a set that is not sound changes nothing, whatever part of it may have been good. One
 * attempt at a time, shared by all who ask.
 */
export const holdKeys = ({ fetchKeySet, clock, onEvent, signal }: Dependencies): HeldKeys => {
  let fetched: FetchedKeys | undefined
  let failure: { readonly error: unknown } | undefined
  let confirmedAtMs = 0
  let attemptedAtMs = 0
  let underWay: Promise<void> | undefined

  const attempt = async (): Promise<void> => {
    // From before the request: what the issuer changes while it answers is not in the answer.
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
