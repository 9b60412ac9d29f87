/** Time, handed in so that tests decide what it is. */
export type Clock = {
  /** Milliseconds since the Unix epoch; may jump, and may be wrong. */
  readonly nowMs: () => number
  /** Milliseconds from an arbitrary start; never goes back. Leases are counted with it, so that no clocks are compared. */
  readonly monotonicMs: () => number
  /** Ends after `ms` milliseconds, or as soon as the signal aborts; never rejects. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
}
