import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type RedisServer, startRedis } from '../support/servers/redis-server.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'

// A Redis of its own: all tests of a run come from one address, and would share the budget.
let redis: RedisServer
let cardea: Cardea

beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())
beforeEach(() => redis.restart())
afterEach(() => cardea.stop())

const guess = (instance: number, email: string): Promise<Answer> =>
  cardea.clientOf(instance).post('/login', { body: { email, password: 'a wrong password 123' } })

const statusCounts = (answers: readonly Answer[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

test('R110: guesses at one account are counted together, whichever of three instances they come to', async () => {
  cardea = await startCardea({ instances: 3, redisUrl: redis.url })
  const { email } = await cardea.createAccount()
  const answers = await Promise.all(
    Array.from({ length: 15 }, (_, place) => guess(place % 3, email)),
  )
  expect(statusCounts(answers)).toEqual({ 401: 4, 429: 11 })
  for (const instance of [0, 1, 2]) {
    const refused = await guess(instance, email)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  }
})

test('R110: one source has one budget over three instances, however many accounts it tries', async () => {
  const config = { loginFailuresPerSource: 12 }
  cardea = await startCardea({ instances: 3, redisUrl: redis.url, config })
  const answers = await Promise.all(
    Array.from({ length: 30 }, (_, place) => guess(place % 3, `nobody-${place}@example.com`)),
  )
  expect(statusCounts(answers)).toEqual({ 401: 12, 429: 18 })
  for (const instance of [0, 1, 2]) {
    expect((await guess(instance, `late-${instance}@example.com`)).status).toBe(429)
  }
})
