import type { Clock } from './clock.ts'

/** The machine's time. Timers keep the process alive, so close a verifier that is no longer needed. */
export const systemClock: Clock = {
  // biome-ignore lint/plugin: the one place that asks the machine for the time
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const wake = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      signal?.addEventListener('abort', wake, { once: true })
    }),
}
