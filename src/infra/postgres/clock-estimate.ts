/** One look at Postgres's clock. All times are milliseconds; `sent` and `received` are of the same two local clocks. */
export type Reading = {
  readonly sent: LocalTime
  readonly received: LocalTime
  /** `clock_timestamp()`, at some moment between the two. */
  readonly databaseMs: number
}

export type LocalTime = { readonly wallMs: number; readonly monotonicMs: number }

/** How much must be added to the local monotonic clock: a value between the two. */
export type Estimate = {
  readonly lowMs: number
  readonly highMs: number
  /** The local time at which it was made. */
  readonly at: LocalTime
}

/**
 * A reading is off by up to half of its round trip. One that took longer than this is not used: the time would be off by more than a
 * second.
 */
const longestRoundTripMs = 2_000

/** Time services change the speed of a clock by up to 500 ppm, here and at the Postgres server. */
const drift = 0.001

/** Both local clocks tell the same duration to less than this, unless one was set or the machine was suspended. */
const localToleranceMs = 1_000

/**
 * Whether the two local clocks moved on alike. They do not when the machine was suspended (its monotonic clock stood still) or when its
 * wall clock was set. Nobody can tell the two apart without asking Postgres.
 */
export const movedAlike = (from: LocalTime, to: LocalTime): boolean => {
  const wallMs = to.wallMs - from.wallMs
  const monotonicMs = to.monotonicMs - from.monotonicMs
  return Math.abs(wallMs - monotonicMs) < localToleranceMs
}

export const offsetOf = ({ lowMs, highMs }: Estimate): number => (lowMs + highMs) / 2

/**
 * What is known after one more reading; undefined when the reading cannot be used. Each reading proves that the offset lies between two
 * values, so the shortest round trip counts most and a longer one never makes the estimate worse. A reading that contradicts what was
 * known replaces it: then a clock was set, the machine was suspended, or another server answers.
 */
export const refine = (before: Estimate | undefined, reading: Reading): Estimate | undefined => {
  const { sent, received, databaseMs } = reading
  const isSlow = received.monotonicMs - sent.monotonicMs > longestRoundTripMs
  if (isSlow || !movedAlike(sent, received)) return undefined
  const lowMs = databaseMs - received.monotonicMs
  const highMs = databaseMs - sent.monotonicMs
  if (before && movedAlike(before.at, received)) {
    const driftMs = (received.monotonicMs - before.at.monotonicMs) * drift
    const both = {
      lowMs: Math.max(lowMs, before.lowMs - driftMs),
      highMs: Math.min(highMs, before.highMs + driftMs),
      at: received,
    }
    if (both.lowMs <= both.highMs) return both
  }
  return { lowMs, highMs, at: received }
}
