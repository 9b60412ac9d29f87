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
