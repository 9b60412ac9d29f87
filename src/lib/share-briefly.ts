import type { Clock } from './clock.ts'

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
