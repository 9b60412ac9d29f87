import { describe, expect, test, vi } from 'vitest'
import { type BatchOptions, inBatches, runsAlone } from '../../src/lib/batches.ts'

const opened = <Value = void>() => {
  let resolve: (value: Value) => void = () => undefined
  const promise = new Promise<Value>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

type Run = { readonly items: readonly string[]; readonly end: () => void }

/** Every run waits until the test lets it end. An item's result is the item in upper case. */
const recorded = (options: Partial<BatchOptions<string, string>> = {}) => {
  const runs: Run[] = []
  const begin = async (items: readonly string[]): Promise<void> => {
    const { promise, resolve } = opened()
    runs.push({ items, end: resolve })
    await promise
  }
  const call = inBatches<string, string>({
    runOne: async (item) => {
      await begin([item])
      return item.toUpperCase()
    },
    runMany: async (items) => {
      await begin(items)
      return items.map((item) => item.toUpperCase())
    },
    keyOf: (item) => item[0] ?? '',
    maxItems: 3,
    hasChangedNothing: (error) => error instanceof TypeError,
    ...options,
  })
  const run = async (place: number): Promise<Run> => {
    await vi.waitUntil(() => runs.length > place)
    return runs[place] as Run
  }
  const itemsOf = () => runs.map(({ items }) => items.join(' '))
  return { call, run, itemsOf }
}

describe('calls in batches', () => {
  test('one call alone runs by itself, and those of one turn run together', async () => {
    const { call, run, itemsOf } = recorded()
    const lone = call('a')
    ;(await run(0)).end()
    expect(await lone).toBe('A')
    const two = [call('b'), call('c')]
    ;(await run(1)).end()
    expect(await Promise.all(two)).toEqual(['B', 'C'])
    expect(itemsOf()).toEqual(['a', 'b c'])
  })

  test('what arrives during a run goes together after it, at most so many, each with its own result', async () => {
    const { call, run, itemsOf } = recorded()
    const first = call('a')
    await run(0)
    const others = ['b', 'c', 'd', 'e'].map(call)
    ;(await run(0)).end()
    ;(await run(1)).end()
    ;(await run(2)).end()
    expect(await Promise.all([first, ...others])).toEqual(['A', 'B', 'C', 'D', 'E'])
    expect(itemsOf()).toEqual(['a', 'b c d', 'e'])
  })

  test('two calls with one key never share a batch, and keep their order', async () => {
    const { call, run, itemsOf } = recorded()
    const calls = ['a1', 'b', 'a2', 'a3'].map(call)
    for (const place of [0, 1, 2]) (await run(place)).end()
    expect(await Promise.all(calls)).toEqual(['A1', 'B', 'A2', 'A3'])
    expect(itemsOf()).toEqual(['a1 b', 'a2', 'a3'])
  })

  test('an item that is held up runs alone and keeps the next batch from nothing', async () => {
    const held = opened<string>()
    const { call } = recorded({
      runOne: (item) => (item === 'b' ? held.promise : Promise.resolve(item)),
      runMany: async (items) => items.map((item) => (item === 'b' ? runsAlone : item)),
    })
    const [a, b, c] = ['a', 'b', 'c'].map(call)
    expect(await Promise.all([a, c])).toEqual(['a', 'c'])
    expect(await call('d')).toBe('d')
    held.resolve('at last')
    expect(await b).toBe('at last')
  })

  test('a run that takes long no longer keeps the others waiting', async () => {
    const { call, run, itemsOf } = recorded()
    const stuck = call('a')
    const { end } = await run(0)
    const others = ['b', 'c'].map(call)
    ;(await run(1)).end()
    expect(await Promise.all(others)).toEqual(['B', 'C'])
    expect(itemsOf()).toEqual(['a', 'b c'])
    end()
    expect(await stuck).toBe('A')
  })

  test('a batch that failed and changed nothing is run again item by item: a bad one fails alone', async () => {
    const { call } = recorded({
      runOne: (item) =>
        item === 'b' ? Promise.reject(new TypeError('bad')) : Promise.resolve(item),
      runMany: () => Promise.reject(new TypeError('one of them is bad')),
    })
    const results = await Promise.allSettled(['a', 'b', 'c'].map(call))
    expect(results).toEqual([
      { status: 'fulfilled', value: 'a' },
      { status: 'rejected', reason: new TypeError('bad') },
      { status: 'fulfilled', value: 'c' },
    ])
  })

  test.each([
    ['may have changed something', () => Promise.reject(new Error('the connection is gone'))],
    ['gives another number of results', () => Promise.resolve(['a'])],
  ])('a batch that %s is never run again', async (_, runMany) => {
    const alone: string[] = []
    const runOne = async (item: string) => {
      alone.push(item)
      return item
    }
    const { call } = recorded({ runMany, runOne })
    const results = await Promise.allSettled(['a', 'b'].map(call))
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(alone).toEqual([])
    // And the next call is served.
    expect(await call('c')).toBe('c')
  })
})
