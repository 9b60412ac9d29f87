/** The only place that asks the machine for the time; everything else is handed a `Clock`, so that tests can set it. */
export type Clock = {
  /** Wall-clock time, milliseconds since the Unix epoch. In the service this is Postgres's time: see `database-clock.ts`. */
  readonly nowMs: () => number
  /** A clock that never goes back, milliseconds from an arbitrary start: for waiting and measuring. */
  readonly monotonicMs: () => number
}

/** The clocks of this machine. `nowMs` decides nothing: it is only compared with Postgres's. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}
