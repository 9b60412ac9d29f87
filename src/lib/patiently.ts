import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from './clock.ts'

export type Patience = {
  /** From the first attempt on. An attempt under way is not cut short. */
  readonly patienceMs: number
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** Whether this failure may pass by waiting. */
  readonly isPassing: (error: unknown) => boolean
  /** Called once, after the first failure that may pass. */
  readonly onWait?: (error: unknown) => void
}

const pauseMs = 100

/** Repeats `act` until it succeeds, fails for good, or the patience is over; then throws the last failure. */
export const patiently = async <T>(act: () => Promise<T>, patience: Patience): Promise<T> => {
  const { patienceMs, clock, isPassing, onWait } = patience
  const giveUpMs = clock.monotonicMs() + patienceMs
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await act()
    } catch (error) {
      if (!isPassing(error) || clock.monotonicMs() + pauseMs >= giveUpMs) throw error
      if (attempt === 1) onWait?.(error)
    }
    await pause(pauseMs)
  }
}
