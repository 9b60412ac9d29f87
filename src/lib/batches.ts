/** The result of `runMany` for an item that another statement holds up: it runs alone, and holds up nobody. */
export const runsAlone = Symbol('runs alone')

export type BatchOptions<Item, Result> = {
  /** Runs one item by itself. */
  readonly runOne: (item: Item) => Promise<Result>
  /** Runs 2 to `maxItems` items together. The results are in the order of the items. */
  readonly runMany: (items: readonly Item[]) => Promise<readonly (Result | typeof runsAlone)[]>
  /** Two items with the same key never run together: the second one waits for the next batch. */
  readonly keyOf: (item: Item) => string
  readonly maxItems: number
  /** Whether a failed `runMany` has certainly changed nothing. Then each of its items runs alone; otherwise each gets the error. */
  readonly hasChangedNothing: (error: unknown) => boolean
}

/** How long a run may keep others waiting, in ms. After that it counts as stuck, and the next batch starts beside it. */
const stuckMs = 20

type Waiter<Item, Result> = {
  readonly item: Item
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

const runAlone = <Item, Result>(
  { item, resolve, reject }: Waiter<Item, Result>,
  { runOne }: BatchOptions<Item, Result>,
): Promise<void> => runOne(item).then(resolve, reject)

/** Resolves when the batch has run. Items of it that run alone after that keep nobody waiting. */
const runTogether = async <Item, Result>(
  batch: readonly Waiter<Item, Result>[],
  options: BatchOptions<Item, Result>,
): Promise<void> => {
  try {
    const results = await options.runMany(batch.map(({ item }) => item))
    if (results.length !== batch.length) throw new Error('a batch has a result for each item')
    for (const [place, result] of results.entries()) {
      const waiter = batch[place] as Waiter<Item, Result>
      if (result === runsAlone) void runAlone(waiter, options)
      else waiter.resolve(result)
    }
  } catch (error) {
    const changedNothing = options.hasChangedNothing(error)
    for (const waiter of batch) {
      if (changedNothing) void runAlone(waiter, options)
      else waiter.reject(error)
    }
  }
}

/** The next batch, in the order of arrival, and those that have to wait for the one after it. */
const takeBatch = <Item, Result>(
  waiting: readonly Waiter<Item, Result>[],
  { keyOf, maxItems }: BatchOptions<Item, Result>,
) => {
  const keys = new Set<string>()
  const batch: Waiter<Item, Result>[] = []
  const left: Waiter<Item, Result>[] = []
  for (const waiter of waiting) {
    const key = keyOf(waiter.item)
    if (batch.length === maxItems || keys.has(key)) {
      left.push(waiter)
    } else {
      keys.add(key)
      batch.push(waiter)
    }
  }
  return { batch, left }
}

/**
 * Gathers the calls that arrive while a run is under way, and runs them together when it ends. A call that finds no run starts on the next
 * turn of the event loop, so that the calls of one turn go together. There is no timer on this path: a call alone waits for nobody.
 *
 * Calls run in the order of their arrival, except those that have the key of another one in the same batch. A run that takes longer than
 * 20 ms, for example because it waits for the lock of a row, no longer keeps the next batch from starting.
 */
export const inBatches = <Item, Result>(
  options: BatchOptions<Item, Result>,
): ((item: Item) => Promise<Result>) => {
  let waiting: Waiter<Item, Result>[] = []
  let current: object | undefined
  let isScheduled = false
  let stuckTimer: NodeJS.Timeout | undefined

  const end = (run: object): void => {
    if (current !== run) return
    current = undefined
    clearTimeout(stuckTimer)
    stuckTimer = undefined
    schedule()
  }
  const start = (): void => {
    isScheduled = false
    const { batch, left } = takeBatch(waiting, options)
    const [first] = batch
    if (first === undefined) return
    waiting = left
    const run = {}
    current = run
    const ended = batch.length === 1 ? runAlone(first, options) : runTogether(batch, options)
    void ended.then(() => end(run))
    schedule()
  }
  const schedule = (): void => {
    if (isScheduled || waiting.length === 0) return
    if (current === undefined) {
      isScheduled = true
      setImmediate(start)
    } else {
      const run = current
      stuckTimer ??= setTimeout(() => end(run), stuckMs).unref()
    }
  }

  return function runInBatch(item) {
    return new Promise<Result>((resolve, reject) => {
      waiting.push({ item, resolve, reject })
      schedule()
    })
  }
}
