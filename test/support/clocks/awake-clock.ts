const tickMs = 10

type AwakeClock = {
  /** Milliseconds since the start in which this process was not kept waiting for a processor. */
  readonly ms: () => number
  readonly stop: () => void
}

/**
 * Measures how long something waited by its own will, on a machine of any speed. Ticks that a busy machine delays are not made up for,
 * so the time in which this process got no processor does not count.
 */
const awakeClock = (): AwakeClock => {
  let ticks = 0
  const timer = setInterval(() => {
    ticks += 1
  }, tickMs)
  return { ms: () => ticks * tickMs, stop: () => clearInterval(timer) }
}

/** What `work` resolves with, and how long it waited. */
export const timeAwake = async <T>(
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly tookMs: number }> => {
  const clock = awakeClock()
  try {
    const result = await work()
    return { result, tookMs: clock.ms() }
  } finally {
    clock.stop()
  }
}
