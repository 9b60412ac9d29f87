/** The only place that asks the machine for the time; everything else is handed a `Clock`, so that tests can set it. */
export type Clock = {
  /** Wall-clock time, milliseconds since the Unix epoch. */
  readonly nowMs: () => number
  /** A clock that never goes back, milliseconds from an arbitrary start: for waiting and measuring. */
  readonly monotonicMs: () => number
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}
