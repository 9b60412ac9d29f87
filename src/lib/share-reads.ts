import type { Clock } from './machine.ts'

/**
 * How callers share reads, and how something is remembered for a time. All of `src/` uses these functions, but for the feed of revocations,
 * which also gathers questions. What is remembered until others push it out, however old it is, is an `LruMap` of `toad-cache`.
 */
export type Read<Value> = () => Promise<Value>

export type Keep = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly keepMs: number
}

/**
 * A call that comes while a read is under way gets its result, so there is never more than one. The result may have been read before the
 * call. With `keep`, calls that come less than `keepMs` after the last read began get its result as well, a failure too: then there is at
 * most one read in `keepMs`.
 */
export const shareCurrentRead = <Value>(read: Read<Value>, keep?: Keep): Read<Value> => {
  let current: { readonly result: Promise<Value>; readonly beganAtMs: number } | undefined
  let isUnderWay = false

  const isKept = (beganAtMs: number): boolean =>
    keep !== undefined && keep.clock.monotonicMs() - beganAtMs < keep.keepMs

  return function readCurrent() {
    if (current && (isUnderWay || isKept(current.beganAtMs))) return current.result
    const beganAtMs = keep?.clock.monotonicMs() ?? 0
    const result = read().finally(() => {
      isUnderWay = false
    })
    isUnderWay = true
    current = { result, beganAtMs }
    return result
  }
}

/**
 * A call that comes while a read is under way waits for the next read, together with all others that come meanwhile. So nobody gets what
 * was read before they asked, no older result comes after a newer one, and any number of calls at once costs two reads at most.
 */
export const shareNextRead = <Value>(read: Read<Value>): Read<Value> => {
  let underWay: Promise<Value> | undefined
  let following: Promise<Value> | undefined

  const run = (): Promise<Value> => {
    const current = read().finally(() => {
      if (underWay === current) underWay = undefined
    })
    underWay = current
    return current
  }
  const runAfter = async (before: Promise<Value>): Promise<Value> => {
    await before.catch(() => undefined)
    following = undefined
    return run()
  }
  return function readNext() {
    // First: between two runs there is a moment in which none is under way and the next one has been promised.
    if (following !== undefined) return following
    if (underWay === undefined) return run()
    following = runAfter(underWay)
    return following
  }
}

/**
 * Calls with the same key share reads in the way that `share` says: `shareCurrentRead` or `shareNextRead`. The reads of one key must be
 * equal, because that of the first caller may serve the others. A key is forgotten when nobody waits for it.
 */
export const shareByKey = <Value>(share: (read: Read<Value>) => Read<Value>) => {
  const byKey = new Map<string, { readonly read: Read<Value>; waiting: number }>()
  return async function readByKey(key: string, read: Read<Value>): Promise<Value> {
    const entry = byKey.get(key) ?? { read: share(read), waiting: 0 }
    byKey.set(key, entry)
    entry.waiting += 1
    try {
      return await entry.read()
    } finally {
      entry.waiting -= 1
      if (entry.waiting === 0) byKey.delete(key)
    }
  }
}

export type TtlSet = {
  /** Whether `key` was added less than `keepMs` ago. */
  readonly has: (key: string) => boolean
  /** Remembers `key` as something that was true at `sinceMs`, a reading of the clock's `monotonicMs`. */
  readonly add: (key: string, sinceMs: number) => void
}

export type TtlSetOptions = Keep & {
  /** At most so many keys. The one that was added longest ago makes room. */
  readonly maxKeys: number
}

/**
 * Remembers that something was true, for a short and certain time. A key that is asked for does not live longer for it. The sets of
 * `toad-cache` count from the moment of the addition, by the wall clock; this one counts from before the read.
 */
export const ttlSet = ({ clock, keepMs, maxKeys }: TtlSetOptions): TtlSet => {
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
      if (sinceByKey.size <= maxKeys) return
      const [oldest] = sinceByKey.keys()
      if (oldest !== undefined) sinceByKey.delete(oldest)
    },
  }
}
