import type { Clock } from './machine.ts'

/**
 * Functions that share reads between callers and cache values for a time. All of `src/` uses them, except the revocation feed, which also
 * passes arguments. Caches limited by size only use `LruMap` of `toad-cache`.
 */
export type Read<Value> = () => Promise<Value>

export type Keep = {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly keepMs: number
}

/**
 * A call during a read gets the result of that read, so at most one runs. The result may be from before the call. With `keep`, calls within
 * `keepMs` after the start of the last read get its result as well, even a failure: then there is at most one read in `keepMs`.
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
 * A call during a read waits for the next read, together with all others that come meanwhile. So the result is never from before the call,
 * an older result never comes after a newer one, and any number of parallel calls costs at most two reads.
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
    // Checked first: between two runs there is a moment in which none is running and the next one has been promised.
    if (following !== undefined) return following
    if (underWay === undefined) return run()
    following = runAfter(underWay)
    return following
  }
}

/**
 * Calls with the same key share reads through `share`: `shareCurrentRead` or `shareNextRead`. The reads of one key must be equal, because
 * that of the first caller may serve the others. A key is dropped when no call waits for it.
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
  /** Records that `key` was true at `sinceMs`, a reading of the clock's `monotonicMs`. */
  readonly add: (key: string, sinceMs: number) => void
}

export type TtlSetOptions = Keep & {
  /** The maximum number of keys. The oldest one is dropped. */
  readonly maxKeys: number
}

/**
 * Caches positive results for a fixed time. A lookup does not extend the time of a key. The sets of `toad-cache` count from the addition,
 * by the wall clock; this one counts from before the read.
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
      // Deleted first, so that the map keeps the order of the additions.
      sinceByKey.delete(key)
      sinceByKey.set(key, sinceMs)
      if (sinceByKey.size <= maxKeys) return
      const [oldest] = sinceByKey.keys()
      if (oldest !== undefined) sinceByKey.delete(oldest)
    },
  }
}
