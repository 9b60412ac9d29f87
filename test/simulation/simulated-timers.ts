import type { Timeline } from './timeline.ts'

/**
 * Stands in for `node:timers/promises` in the product's own code, so that its pauses pass on the timeline. A pause that is aborted ends
 * at once here and does not reject: nobody in the simulation asks why it ended.
 */
let current: Timeline | undefined

/** From now on the pauses of the product pass in this run. */
export const passTimeOn = (timeline: Timeline): void => {
  current = timeline
}

type PauseOptions = { readonly ref?: boolean; readonly signal?: AbortSignal }

export const setTimeout = <T>(ms: number, value?: T, { signal }: PauseOptions = {}): Promise<T> =>
  new Promise((resolve) => {
    const end = () => resolve(value as T)
    if (!current || signal?.aborted) return end()
    const cancel = current.after(ms, 'a pause of the product ends', end)
    const abort = () => {
      cancel()
      end()
    }
    signal?.addEventListener('abort', abort, { once: true })
  })

/** Everything that is ready at this moment runs before the next step in any case. */
export const setImmediate = async (): Promise<void> => undefined
