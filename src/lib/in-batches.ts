/** Work under way at once: a bounded share of memory, and of the store that does it. */
const batchSize = 500

/** Does `work` for each item, a batch at once. Rejects with the first failure, and then begins no further batch. */
export const inBatches = async <Item>(
  items: Iterable<Item>,
  work: (item: Item) => Promise<void>,
): Promise<void> => {
  let batch: Promise<void>[] = []
  for (const item of items) {
    batch.push(work(item))
    if (batch.length < batchSize) continue
    await Promise.all(batch)
    batch = []
  }
  await Promise.all(batch)
}
