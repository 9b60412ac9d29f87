import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from './machine.ts'

/** Background work: one run at a time, stopped cleanly, and never keeping the process alive. */
export type Repeating = { readonly stop: () => Promise<void> }

export type RepeatOptions = {
  /**
   * The pause before a run in milliseconds, computed when the previous run has ended. It is varied, so that processes do not run in step.
   */
  readonly pauseMs: () => number
  readonly work: () => Promise<void>
  /** Called for a failed run. The next one comes as planned. */
  readonly onError: (error: unknown) => void
  /** A number in [0, 1). */
  readonly fraction: () => number
}

/** The maximum deviation of a pause. */
const jitter = 0.2

/** The first run comes after the first pause. */
export const repeat = ({ pauseMs, work, onError, fraction }: RepeatOptions): Repeating => {
  let stopped = false
  let underWay: Promise<void> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined

  const plan = (): void => {
    const factor = 1 - jitter + 2 * jitter * fraction()
    timer = setTimeout(run, pauseMs() * factor).unref()
  }
  const run = (): void => {
    underWay = work()
      .catch(onError)
      .then(() => {
        if (!stopped) plan()
      })
  }
  plan()

  return {
    stop: async () => {
      stopped = true
      clearTimeout(timer)
      await underWay
    },
  }
}

export type Patience = {
  /** Counted from the first attempt. A running attempt is not interrupted. */
  readonly patienceMs: number
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** Whether this failure may end by waiting. */
  readonly isPassing: (error: unknown) => boolean
  /** Called once, after the first failure that may end by waiting. */
  readonly onWait?: (error: unknown) => void
}

const pauseMs = 100

/** Repeats `act` until it succeeds, fails permanently, or the time is over; then throws the last failure. */
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
