import type { Clock } from './machine.ts'

/**
 * Makes calls share runs of `read`: one that comes while a run is under way waits for the next run, together with all others that come
 * meanwhile. So nobody gets what was read before they asked, no old result comes after a newer one, and any number of callers are
 * two runs at most.
 */
export const shareReads = <T>(read: () => Promise<T>): (() => Promise<T>) => {
  let underWay: Promise<T> | undefined
  let following: Promise<T> | undefined

  const run = (): Promise<T> => {
    const current = read().finally(() => {
      if (underWay === current) underWay = undefined
    })
    underWay = current
    return current
  }
  const runAfter = async (before: Promise<T>): Promise<T> => {
    await before.catch(() => undefined)
    following = undefined
    return run()
  }
  return () => {
    // First: between two runs there is a moment in which none is under way and the next one has been promised.
    if (following !== undefined) return following
    if (underWay === undefined) return run()
    following = runAfter(underWay)
    return following
  }
}

/**
 * Makes calls share runs of `read`: all that come while one is under way, and all that come less than `keepMs` after it began, get what
 * came of it, a failure too. So there is never more than one run, and at most one in `keepMs`. The result may be that old.
 */
export const shareBriefly = <T>(
  read: () => Promise<T>,
  { clock, keepMs }: { readonly clock: Pick<Clock, 'monotonicMs'>; readonly keepMs: number },
): (() => Promise<T>) => {
  let shared: { readonly result: Promise<T>; readonly sinceMs: number } | undefined
  let isUnderWay = false
  return () => {
    const nowMs = clock.monotonicMs()
    if (shared && (isUnderWay || nowMs - shared.sinceMs < keepMs)) return shared.result
    isUnderWay = true
    const result = read().finally(() => {
      isUnderWay = false
    })
    shared = { result, sinceMs: nowMs }
    return result
  }
}
