import type { Clock } from '../../../src/lib/machine.ts'

const variable = 'TEST_CLOCK_AHEAD_MS'

/**
 * Settings for a process whose wall clock is this much ahead, or behind when negative, which no process can do with the machine's. A
 * message `{wrongClockMs}` of its parent sets it anew. Its monotonic clock is right.
 */
export const clockAhead = (ms: number): Record<string, string> => ({
  NODE_OPTIONS: `--import=${import.meta.url}`,
  [variable]: String(ms),
})

/** A clock for a service of the test process: as if its Postgres were this much ahead, or behind when negative. */
export const aheadClock = (ms: number): Clock => ({
  nowMs: () => Date.now() + ms,
  monotonicMs: () => performance.now(),
})

// In a process that was started with these settings this module runs before the program does. In any other it changes nothing.
const { [variable]: setting } = process.env

if (setting !== undefined) {
  let aheadMs = Number(setting)
  const trueDate = Date
  const nowMs = () => trueDate.now() + aheadMs
  globalThis.Date = new Proxy(trueDate, {
    apply: () => new trueDate(nowMs()).toString(),
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [nowMs()] : args, newTarget),
    get: (target, name, receiver) => (name === 'now' ? nowMs : Reflect.get(target, name, receiver)),
  })
  process.on('message', (message) => {
    if (typeof message !== 'object' || message === null || !('wrongClockMs' in message)) return
    aheadMs = Number(message.wrongClockMs)
  })
  // Listening must not keep alive what would have ended.
  process.channel?.unref()
}
