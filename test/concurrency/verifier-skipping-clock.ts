import type { Clock } from '../../packages/verifier/src/clock.ts'

export type SkippingClock = Clock & {
  /** So much time has passed at once, for whoever reads this clock or sleeps by it. */
  readonly leap: (ms: number) => void
  readonly skippedMs: () => number
}

/** Time goes on by itself, as servers and their clients need it, and can be made to leap, so that a test need not wait for minutes. */
export const skippingClock = (beginsMs = Date.now()): SkippingClock => {
  const startMs = beginsMs - performance.now()
  const sleepers = new Set<() => void>()
  let skippedMs = 0
  const monotonicMs = () => performance.now() + skippedMs
  return {
    nowMs: () => startMs + monotonicMs(),
    monotonicMs,
    skippedMs: () => skippedMs,
    leap: (ms) => {
      skippedMs += ms
      for (const look of sleepers) look()
    },
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve()
        const dueMs = monotonicMs() + ms
        const wake = () => {
          clearTimeout(timer)
          sleepers.delete(look)
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        const look = () => {
          if (monotonicMs() >= dueMs) wake()
        }
        const timer = setTimeout(wake, ms)
        sleepers.add(look)
        signal?.addEventListener('abort', wake, { once: true })
      }),
  }
}
