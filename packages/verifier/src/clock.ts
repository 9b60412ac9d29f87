/** The time, passed in so that tests can set it. */
export type Clock = {
  /** Milliseconds since the Unix epoch. It may jump and may be wrong. */
  readonly nowMs: () => number
  /** Milliseconds from an arbitrary start; never goes back. Leases use it, so that no clocks are compared. */
  readonly monotonicMs: () => number
  /** Ends after `ms` milliseconds, or as soon as the signal aborts; never rejects. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
}
