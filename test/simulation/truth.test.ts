import { afterAll, expect, test } from 'vitest'
import { memoryTruth } from './memory-truth.ts'
import { ownDatabase } from './own-database.ts'
import { postgresTruth } from './postgres-truth.ts'
import { startWalk, walkTheLog, walkTheSessions } from './truth.contract.ts'

const own = await ownDatabase()
afterAll(() => own.stop())

const accessTokenSeconds = 30

const inMemory = (seed: number) =>
  startWalk(memoryTruth({ startMs: 0, accessTokenSeconds, isAway: () => false }), seed)

const onPostgres = (seed: number) => startWalk(postgresTruth({ ...own, accessTokenSeconds }), seed)

const steps = 400

test('the model of the log answers as Postgres does, whatever is open, late or rolled back', async () => {
  const fromModel = await walkTheLog(inMemory(1), steps)
  expect(fromModel).toEqual(await walkTheLog(onPostgres(1), steps))
  // Both have told of something: two empty stories are the same, too.
  expect(fromModel.filter((line) => line.includes('sid')).length).toBeGreaterThan(20)
})

test('the model of sessions and accounts answers as Postgres does', async () => {
  const fromModel = await walkTheSessions(inMemory(2), steps)
  expect(fromModel).toEqual(await walkTheSessions(onPostgres(2), steps))
  expect(fromModel.filter((line) => line.startsWith('[')).length).toBeGreaterThan(20)
})
