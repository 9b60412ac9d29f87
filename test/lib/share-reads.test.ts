import { describe, expect, test } from 'vitest'
import { shareByKey, shareCurrentRead, shareNextRead, ttlSet } from '../../src/lib/share-reads.ts'
import { fakeClock } from '../support/fake-clock.ts'

/** Runs that end when the test says so. */
const staged = () => {
  const ends: ((value: number | Error) => void)[] = []
  const run = () =>
    new Promise<number>((resolve, reject) => {
      ends.push((value) => (value instanceof Error ? reject(value) : resolve(value)))
    })
  return { run, ends }
}

/** Lets everything that is already decided happen. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

describe('reads that are shared by who asks before they begin', () => {
  const stage = () => {
    const { run, ends } = staged()
    return { read: shareNextRead(run), ends }
  }

  test('calls during a run share the one that begins after it', async () => {
    const { read, ends } = stage()
    const first = read()
    const others = [read(), read(), read()]
    await settle()
    expect(ends).toHaveLength(1)
    ends[0]?.(1)
    expect(await first).toBe(1)
    await settle()
    expect(ends).toHaveLength(2)
    ends[1]?.(2)
    expect(await Promise.all(others)).toEqual([2, 2, 2])
  })

  test('two runs never overlap, whenever calls come', async () => {
    let under = 0
    let most = 0
    let runs = 0
    const read = shareNextRead(async () => {
      runs += 1
      under += 1
      most = Math.max(most, under)
      await new Promise((resolve) => setImmediate(resolve))
      under -= 1
      return runs
    })
    const calls: Promise<number>[] = []
    for (let turn = 0; turn < 50; turn += 1) {
      calls.push(read())
      // Also in the moment between two runs.
      for (let tick = 0; tick < turn % 7; tick += 1) await Promise.resolve()
      if (turn % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(calls)
    expect(most).toBe(1)
    expect(runs).toBeLessThan(50)
  })

  test('a run that fails is told to those who shared it, and the next call runs again', async () => {
    const { read, ends } = stage()
    const first = read()
    const second = read()
    ends[0]?.(new Error('away'))
    await expect(first).rejects.toThrow('away')
    await settle()
    ends[1]?.(2)
    expect(await second).toBe(2)
    const third = read()
    ends[2]?.(3)
    expect(await third).toBe(3)
  })
})

describe('reads that are shared for a time', () => {
  const counted = (outcome: (run: number) => Promise<number>) => {
    const clock = fakeClock()
    let runs = 0
    const read = shareCurrentRead(
      () => {
        runs += 1
        return outcome(runs)
      },
      { clock, keepMs: 1_000 },
    )
    return { clock, read, runs: () => runs }
  }

  test('all who ask within the time share one run, and the next one is made after it', async () => {
    const { clock, read, runs } = counted(async (run) => run)
    expect(await Promise.all([read(), read(), read()])).toEqual([1, 1, 1])
    clock.advance(999)
    expect(await read()).toBe(1)
    clock.advance(1)
    expect(await read()).toBe(2)
    expect(runs()).toBe(2)
  })

  test('a failure is shared likewise, and not for longer', async () => {
    const { clock, read } = counted(async (run) => {
      if (run === 1) throw new Error('away')
      return run
    })
    await expect(read()).rejects.toThrow('away')
    await expect(read()).rejects.toThrow('away')
    clock.advance(1_000)
    expect(await read()).toBe(2)
  })

  test('there are never two runs at once, however long one takes', async () => {
    let finish: (value: number) => void = () => undefined
    const promise = new Promise<number>((resolve) => {
      finish = resolve
    })
    const { clock, read, runs } = counted(() => promise)
    const first = read()
    clock.advance(10_000)
    const second = read()
    finish(7)
    expect(await Promise.all([first, second])).toEqual([7, 7])
    expect(runs()).toBe(1)
  })
})

test('without a time to keep it, a read is shared while it is under way and not longer, a failure too', async () => {
  const { run, ends } = staged()
  const read = shareCurrentRead(run)
  const both = Promise.allSettled([read(), read()])
  ends[0]?.(new Error('away'))
  expect((await both).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  const [third, fourth] = [read(), read()]
  expect(ends).toHaveLength(2)
  ends[1]?.(2)
  expect(await Promise.all([third, fourth])).toEqual([2, 2])
})

describe('reads by key', () => {
  test.each([
    ['the read under way', shareCurrentRead, 1],
    ['the next read', shareNextRead, 2],
  ])('calls with one key share %s, and no other key waits for it', async (_, share, reads) => {
    const { run, ends } = staged()
    const readByKey = shareByKey<number>(share)
    const ofA = [readByKey('a', run), readByKey('a', run), readByKey('a', run)]
    const ofB = readByKey('b', run)
    expect(ends).toHaveLength(2)
    ends[1]?.(20)
    expect(await ofB).toBe(20)
    ends[0]?.(1)
    await settle()
    expect(ends).toHaveLength(1 + reads)
    ends[2]?.(2)
    expect(await Promise.all(ofA)).toEqual([1, reads, reads])
  })

  test('a key is forgotten with its last caller, whatever came of the read', async () => {
    const readByKey = shareByKey<number>(shareCurrentRead)
    const failing = [1, 2].map(() => readByKey('a', () => Promise.reject(new Error('away'))))
    expect((await Promise.allSettled(failing)).map(({ status }) => status)).toEqual([
      'rejected',
      'rejected',
    ])
    expect(await readByKey('a', async () => 3)).toBe(3)
  })
})

describe('a set that remembers for a time', () => {
  test('remembers for the time it was made for, from when the thing was true and not from when it was told', () => {
    const clock = fakeClock()
    const memory = ttlSet({ clock, keepMs: 5_000, maxKeys: 10 })
    const sinceMs = clock.monotonicMs()
    clock.advance(2_000)
    memory.add('a', sinceMs)
    expect(memory.has('a')).toBe(true)
    expect(memory.has('b')).toBe(false)
    clock.advance(2_999)
    expect(memory.has('a')).toBe(true)
    clock.advance(1)
    expect(memory.has('a')).toBe(false)
  })

  test('asking does not prolong it; being told again does', () => {
    const clock = fakeClock()
    const memory = ttlSet({ clock, keepMs: 5_000, maxKeys: 10 })
    memory.add('asked', clock.monotonicMs())
    memory.add('told', clock.monotonicMs())
    clock.advance(4_000)
    expect(memory.has('asked')).toBe(true)
    memory.add('told', clock.monotonicMs())
    clock.advance(1_000)
    expect([memory.has('asked'), memory.has('told')]).toEqual([false, true])
  })

  test('holds no more than it was told to; what was added longest ago makes room', () => {
    const clock = fakeClock()
    const memory = ttlSet({ clock, keepMs: 5_000, maxKeys: 2 })
    for (const key of ['a', 'b', 'a', 'c']) memory.add(key, clock.monotonicMs())
    expect(['a', 'b', 'c'].filter(memory.has)).toEqual(['a', 'c'])
  })
})
