import { callerGone } from './caller-presence.ts'

export type BoundedQueueOptions = {
  /** Jobs that run at once, 1 or more. */
  readonly concurrency: number
  /** Jobs that may wait, 0 or more. */
  readonly queue: number
  /** The maximum time that a job waits for its turn, milliseconds. */
  readonly maxWaitMs: number
  /** The error for a job that finds no room or waited too long. */
  readonly refusal: () => Error
}

export type BoundedQueue = {
  /** Throws the refusal when a job would be refused now. It reserves nothing. */
  readonly assertQueueCapacity: () => void
  /**
   * Runs the job in its turn. Rejects with the refusal, or with `caller_gone` if `isGone` returns true at the job's turn. Then the job does
   * not run.
   */
  readonly run: <Result>(job: () => Promise<Result>, isGone?: () => boolean) => Promise<Result>
}

type Waiting = {
  readonly isGone: () => boolean
  readonly start: () => void
  readonly refuse: (error: Error) => void
}

const isNeverGone = (): boolean => false

/**
 * A first-in, first-out queue with three limits: running jobs, waiting jobs and waiting time. Jobs of disconnected callers are dropped
 * without running and take no place.
 *
 * Not `p-limit`: it can neither count nor drop waiting jobs, so under load its queue fills with callers who left.
 *
 * @throws {TypeError} for options out of range
 */
export const boundedQueue = (options: BoundedQueueOptions): BoundedQueue => {
  const { concurrency, queue, maxWaitMs, refusal } = options
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new TypeError('concurrency must be an integer of 1 or more')
  }
  if (!Number.isInteger(queue) || queue < 0) {
    throw new TypeError('queue must be an integer of 0 or more')
  }
  let running = 0
  const waiting = new Set<Waiting>()

  const hasRoom = (): boolean => running + waiting.size < concurrency + queue

  const assertQueueCapacity = (): void => {
    if (hasRoom()) return
    for (const one of waiting) if (one.isGone()) one.refuse(callerGone())
    if (!hasRoom()) throw refusal()
  }

  const startNext = (): void => {
    for (const one of waiting) {
      if (!one.isGone()) {
        one.start()
        return
      }
      one.refuse(callerGone())
    }
  }

  const waitForTurn = (isGone: () => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer)
        waiting.delete(one)
      }
      const one: Waiting = {
        isGone,
        start: () => {
          leave()
          running += 1
          resolve()
        },
        refuse: (error) => {
          leave()
          reject(error)
        },
      }
      const timer = setTimeout(() => one.refuse(refusal()), maxWaitMs)
      waiting.add(one)
    })

  return {
    assertQueueCapacity,
    run: async (job, isGone = isNeverGone) => {
      if (isGone()) throw callerGone()
      assertQueueCapacity()
      if (running < concurrency) running += 1
      else await waitForTurn(isGone)
      try {
        return await job()
      } finally {
        running -= 1
        startNext()
      }
    },
  }
}
