import type { Clock } from '../lib/clock.ts'

export type BriefMemory = {
  /** Whether `key` was added less than the time ago that this memory keeps things. */
  readonly has: (key: string) => boolean
  /** Remembers `key` as something that was true at `sinceMs`, a reading of the clock's `monotonicMs`. */
  readonly add: (key: string, sinceMs: number) => void
}

export type BriefMemoryOptions = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly keepMs: number
  /** At most so many keys; the one that was added longest ago makes room. */
  readonly most: number
}

/** Remembers that something was true, for a short and certain time. A key that is asked for does not live longer for it. */
export const briefMemory = ({ clock, keepMs, most }: BriefMemoryOptions): BriefMemory => {
  const sinceByKey = new Map<string, number>()
  return {
    has: (key) => {
      const sinceMs = sinceByKey.get(key)
      if (sinceMs === undefined) return false
      if (clock.monotonicMs() - sinceMs < keepMs) return true
      sinceByKey.delete(key)
      return false
    },
    add: (key, sinceMs) => {
      // Deleted first, so that the order of the map stays that of the additions.
      sinceByKey.delete(key)
      sinceByKey.set(key, sinceMs)
      if (sinceByKey.size <= most) return
      const [oldest] = sinceByKey.keys()
      if (oldest !== undefined) sinceByKey.delete(oldest)
    },
  }
}
