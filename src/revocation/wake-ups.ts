/** Tells those who wait for something new that there may be. Nobody relies on it: who is not told looks again later anyway. */
export type WakeUps = {
  readonly wake: () => void
  /** How often there was a wake-up so far: what to hand to `after`, noted before looking. */
  readonly count: () => number
  /** Resolves at the first wake-up after that count, at once when it has been; after `ms` milliseconds at the latest. Never rejects. */
  readonly after: (count: number, ms: number, signal?: AbortSignal) => Promise<void>
  /** Lets everyone go who waits, and nobody wait any more: the process is about to end. */
  readonly close: () => void
}

export const createWakeUps = (): WakeUps => {
  let count = 0
  let isClosed = false
  const waiting = new Set<() => void>()
  const letGo = (): void => {
    for (const go of [...waiting]) go()
  }
  return {
    wake: () => {
      count += 1
      letGo()
    },
    count: () => count,
    after: (since, ms, signal) =>
      new Promise((resolve) => {
        if (isClosed || since !== count || signal?.aborted) return resolve()
        const go = (): void => {
          clearTimeout(timer)
          waiting.delete(go)
          signal?.removeEventListener('abort', go)
          resolve()
        }
        const timer = setTimeout(go, ms).unref()
        waiting.add(go)
        signal?.addEventListener('abort', go, { once: true })
      }),
    close: () => {
      isClosed = true
      letGo()
    },
  }
}
