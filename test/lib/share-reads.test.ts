import { describe, expect, test } from 'vitest'
import { shareBriefly, shareReads } from '../../src/lib/share-reads.ts'
import { fakeClock } from '../support/fake-clock.ts'

describe('reads that are shared by who asks before they begin', () => {
  /** Runs that end when the test says so. */
  const stage = () => {
    const ends: ((value: number | Error) => void)[] = []
    const read = shareReads(
      () =>
        new Promise<number>((resolve, reject) => {
          ends.push((value) => (value instanceof Error ? reject(value) : resolve(value)))
        }),
    )
    /** Lets everything that is already decided happen. */
    const settle = () => new Promise((resolve) => setImmediate(resolve))
    return { read, ends, settle }
  }

  test('calls during a run share the one that begins after it', async () => {
    const { read, ends, settle } = stage()
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
    const read = shareReads(async () => {
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
    const { read, ends, settle } = stage()
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
    const read = shareBriefly(
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
