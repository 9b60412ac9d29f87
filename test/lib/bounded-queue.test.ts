import { expect, test } from 'vitest'
import { boundedQueue } from '../../src/lib/bounded-queue.ts'

class Full extends Error {}

const open = (options: Partial<Parameters<typeof boundedQueue>[0]> = {}) =>
  boundedQueue({
    concurrency: 1,
    queue: 2,
    maxWaitMs: 60_000,
    refusal: () => new Full(),
    ...options,
  })

/** A job that ends when the test says so. */
const held = () => {
  let started = 0
  let finish: () => void = () => undefined
  const promise = new Promise<string>((resolve) => {
    finish = () => resolve('done')
  })
  const job = () => {
    started += 1
    return promise
  }
  return { job, finish: () => finish(), started: () => started }
}

const done = async () => 'done'

test('jobs run in the order they came, as many at once as are allowed', async () => {
  const { run } = open({ queue: 10 })
  const order: number[] = []
  await Promise.all(
    [0, 1, 2, 3].map((place) =>
      run(async () => {
        order.push(place)
      }),
    ),
  )
  expect(order).toEqual([0, 1, 2, 3])
})

test('R108: jobs of callers who have gone are not run, and their places go to those who stay', async () => {
  const { run, assertQueueCapacity } = open()
  const first = held()
  const running = run(first.job)
  let isGone = false
  const left = [held(), held()]
  const refused = left.map(({ job }) =>
    run(job, () => isGone).then(
      () => 'run',
      (error) => error.code,
    ),
  )
  expect(assertQueueCapacity).toThrow(Full)
  await expect(run(done)).rejects.toThrow(Full)
  isGone = true
  const staying = [run(done), run(done)]
  await expect(run(done)).rejects.toThrow(Full)
  expect(await Promise.all(refused)).toEqual(['caller_gone', 'caller_gone'])
  first.finish()
  expect(await Promise.all([running, ...staying])).toEqual(['done', 'done', 'done'])
  expect(left.map(({ started }) => started())).toEqual([0, 0])
})

test('a job whose caller goes while it waits is not run at its turn', async () => {
  const { run } = open()
  const first = held()
  const running = run(first.job)
  let isGone = false
  const next = held()
  const waiting = run(next.job, () => isGone)
  const last = run(done)
  isGone = true
  first.finish()
  await expect(waiting).rejects.toMatchObject({ code: 'caller_gone' })
  expect(next.started()).toBe(0)
  expect(await Promise.all([running, last])).toEqual(['done', 'done'])
})

test('R108: a job that has waited as long as is allowed is refused and never run', async () => {
  const { run } = open({ maxWaitMs: 1 })
  const first = held()
  const running = run(first.job)
  const next = held()
  await expect(run(next.job)).rejects.toThrow(Full)
  first.finish()
  expect(await running).toBe('done')
  expect(await run(done)).toBe('done')
  expect(next.started()).toBe(0)
})

test('a job that fails gives its place back', async () => {
  const { run } = open({ queue: 0 })
  await expect(run(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
  expect(await run(done)).toBe('done')
})
