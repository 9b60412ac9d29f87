import { expect, test } from 'vitest'
import { shareBriefly } from '../../src/lib/share-briefly.ts'
import { fakeClock } from '../support/fake-clock.ts'

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
