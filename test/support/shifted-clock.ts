const variable = 'TEST_CLOCK_AHEAD_MS'

/** Settings for a process whose wall clock is this much ahead, or behind when negative. Its monotonic clock is right. */
export const clockAhead = (ms: number): Record<string, string> => ({
  NODE_OPTIONS: `--import=${import.meta.url}`,
  [variable]: String(ms),
})

// In a process that was started with these settings this module runs before the program does. In any other it changes nothing.
const aheadMs = Number(process.env[variable] ?? 0)

if (aheadMs !== 0) {
  const trueDate = Date
  const nowMs = () => trueDate.now() + aheadMs
  globalThis.Date = new Proxy(trueDate, {
    apply: () => new trueDate(nowMs()).toString(),
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [nowMs()] : args, newTarget),
    get: (target, name, receiver) => (name === 'now' ? nowMs : Reflect.get(target, name, receiver)),
  })
}
