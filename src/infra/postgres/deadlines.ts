export type Deadlines<Item> = {
  /** Starts the time of an item, or starts it again. */
  readonly begin: (item: Item) => void
  /** The item is done in time. */
  readonly finish: (item: Item) => void
  /** Removes and returns the item that has waited longest. */
  readonly shift: () => Item | undefined
  readonly count: () => number
}

/** An item is late at the limit, or as much later as one check is from the next. */
const checksWithin = 10

/**
 * Calls `onLate` for each item that was begun and not finished within `limitMs`. Items are kept in the order in which they began.
 *
 * One timer serves all items, and it runs only while there are any: a timer per statement costs a refresh a quarter more time. Checks
 * are counted, not time. So a pause of the whole process makes nothing late that was finished meanwhile.
 */
export const deadlines = <Item>(limitMs: number, onLate: (item: Item) => void): Deadlines<Item> => {
  const open = new Map<Item, number>()
  let timer: NodeJS.Timeout | undefined
  const check = (): void => {
    if (open.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
    for (const [item, checks] of open) {
      if (checks < checksWithin) {
        open.set(item, checks + 1)
      } else {
        open.delete(item)
        onLate(item)
      }
    }
  }
  return {
    begin: (item) => {
      open.set(item, 0)
      timer ??= setInterval(check, limitMs / checksWithin).unref()
    },
    finish: (item) => {
      open.delete(item)
    },
    shift: () => {
      const [item] = open.keys()
      if (item !== undefined) open.delete(item)
      return item
    },
    count: () => open.size,
  }
}
