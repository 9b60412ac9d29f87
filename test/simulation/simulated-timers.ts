import { promisify } from 'node:util'
import type { Timeline } from './timeline.ts'

/**
 * Stands in for `node:timers/promises` in the product's own code, so that its pauses pass on the timeline of the run. One that is
 * aborted ends at once here and does not reject: nobody in the simulation asks why it ended.
 */
let current: Timeline | undefined

/** From now on the pauses of the product pass on this timeline; with none, in real time. */
export const passTimeOn = (timeline: Timeline | undefined): void => {
  current = timeline
}

type PauseOptions = { readonly ref?: boolean; readonly signal?: AbortSignal }

/** That of Node itself, whatever stands in for the module. */
const realPause = promisify(globalThis.setTimeout)

export const setTimeout = <T>(ms: number, value?: T, options: PauseOptions = {}): Promise<T> => {
  const time = current
  if (!time) return realPause(ms, value as T, options)
  const { signal } = options
  return new Promise((resolve) => {
    const end = () => resolve(value as T)
    if (signal?.aborted) return end()
    const cancel = time.after(ms, 'a pause of the product ends', end)
    const abort = () => {
      cancel()
      end()
    }
    signal?.addEventListener('abort', abort, { once: true })
  })
}

/** Everything that is ready runs before the next step in any case. */
export const setImmediate = async (): Promise<void> => undefined
