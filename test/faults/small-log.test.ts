import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import { type RedisServer, startRedis } from '../support/servers/redis-server.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'

let postgres: PostgresServer
let redis: RedisServer
let cardea: Cardea

beforeAll(async () => {
  postgres = await startPostgres()
  redis = await startRedis()
  cardea = await startCardea({ database: postgres, redisUrl: redis.url })
})
afterAll(async () => {
  await cardea.stop()
  await redis.stop()
  await postgres.stop()
})

const since = (count: number) => cardea.log.slice(count).map((line) => JSON.parse(line))

test('an outage of Postgres is two lines of the log, however many requests and background jobs fail in it', async () => {
  const account = await cardea.createAccount()
  const { refreshToken } = await cardea.client.logIn(account)
  const before = cardea.log.length
  await postgres.kill()
  for (let turn = 0; turn < 40; turn += 1) {
    expect((await cardea.client.refresh(refreshToken)).status).toBe(503)
    expect((await cardea.client.get('/health/ready')).status).toBe(503)
  }
  expect(since(before)).toMatchObject([{ outage: 'begins' }])
  await postgres.restart()
  await vi.waitFor(() =>
    expect(since(before).at(-1)).toMatchObject({ msg: 'postgres answers again' }),
  )
  const [, ...rest] = since(before)
  for (const line of rest) expect(line).not.toHaveProperty('err')
  expect(rest.filter(({ outage }) => outage === 'is over')).toHaveLength(1)
})

test('the end of an outage of Redis is logged as its beginning is', async () => {
  const before = cardea.log.length
  await redis.kill()
  await vi.waitFor(() => expect(since(before).map(({ msg }) => msg)).toContain('redis is away'))
  await redis.restart()
  await vi.waitFor(() =>
    expect(since(before).map(({ msg }) => msg)).toContain('redis answers again'),
  )
})
