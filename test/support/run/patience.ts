import { vi } from 'vitest'
import { patienceMs } from './patience-ms.ts'

type Wait = (callback: () => unknown, options?: number | object) => Promise<unknown>

const patient =
  (wait: Wait): Wait =>
  (callback, options) =>
    wait(callback, { interval: 20, ...Object(options), timeout: patienceMs })

// Vitest has a setting for `expect.poll`, and none for these two, which would give up after a second.
Object.assign(vi, {
  waitFor: patient(vi.waitFor as Wait),
  waitUntil: patient(vi.waitUntil as Wait),
})
