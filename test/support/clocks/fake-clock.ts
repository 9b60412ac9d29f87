import type { Clock } from '../../../src/lib/machine.ts'

export type FakeClock = Clock & {
  /** Moves both hands on. */
  readonly advance: (ms: number) => void
}

/** Starts at the real time, so that tokens can be checked by libraries with clocks of their own, and then stands still until it is moved. */
export const fakeClock = (startMs = Date.now()): FakeClock => {
  let elapsedMs = 0
  return {
    nowMs: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    advance: (ms) => {
      elapsedMs += ms
    },
  }
}

/**
 * The same, a year ago. For tests of what ends or is deleted by time: Postgres deletes nothing that has not ended by its own clock, so
 * the fake one must stay behind it.
 */
export const pastClock = (): FakeClock => fakeClock(Date.now() - 365 * 86_400_000)
