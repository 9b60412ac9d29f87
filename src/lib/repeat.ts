import { setTimeout as pause } from 'node:timers/promises'
import type { Clock } from './machine.ts'

/** Background work: one run at a time, stopped cleanly, never in the way of the process ending. */
export type Repeating = { readonly stop: () => Promise<void> }

export type RepeatOptions = {
  /** Pause before a run, milliseconds, asked for when one has ended; varied so that instances do not march in step. */
  readonly pauseMs: () => number
  readonly work: () => Promise<void>
  /** Told of a failed run; the next one comes as planned. */
  readonly onError: (error: unknown) => void
  /** A number from 0 up to 1. */
  readonly fraction: () => number
}

/** How much a pause may be shorter or longer than asked for. */
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
