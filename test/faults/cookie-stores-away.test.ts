import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import { type RedisServer, startRedis } from '../support/servers/redis-server.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import { handleFields } from '../support/service/handles.ts'

let postgres: PostgresServer
let redis: RedisServer
let look: Redis
let cardea: Cardea
let account: TestAccount
let operator: string
let session: string

beforeAll(async () => {
  postgres = await startPostgres()
  redis = await startRedis()
  look = new Redis(redis.url)
  look.on('error', () => undefined)
  cardea = await startCardea({
    instances: 2,
    database: postgres,
    redisUrl: redis.url,
    config: { databaseConnectTimeoutMs: 500, databaseStatementTimeoutMs: 500, redisTimeoutMs: 100 },
  })
  account = await cardea.createAccount()
  operator = await cardea.operatorToken()
})
afterAll(async () => {
  look.disconnect()
  await cardea.stop()
  await redis.stop()
  await postgres.stop()
})
beforeEach(async () => {
  session = await cardea.client.logInForCookie(account)
})

const read = (instance = 0) => cardea.clientOf(instance).get('/session', { session })

const body = { status: 200 }

describe.each([
  ['stopped', () => redis.kill(), () => redis.restart()],
  ['frozen', async () => redis.freeze(), async () => redis.thaw()],
] as const)('while Redis is %s', (_how, away, back) => {
  test('cookie sessions work from Postgres: login, look-up, data, step-up, end', async () => {
    await read()
    await away()
    try {
      for (const instance of [0, 1]) expect(await read(instance)).toMatchObject(body)
      const headers = { 'if-match': '"0"' }
      const data = { step: 2 }
      const written = await cardea.client.send('PUT', '/session/data', {
        session,
        headers,
        body: data,
      })
      expect(written.status).toBe(204)
      expect((await read(1)).body.data).toEqual(data)
      const other = await cardea.client.logInForCookie(account)
      expect((await cardea.client.get('/session', { session: other })).status).toBe(200)
      const { password } = account
      const path = '/session/reauthenticate'
      const renewed = await cardea.client.post(path, { session: other, body: { password } })
      const next = { session: renewed.sessionCookie ?? '' }
      expect((await cardea.clientOf(1).get('/session', next)).status).toBe(200)
      expect((await cardea.clientOf(1).get('/session', { session: other })).status).toBe(401)
      expect((await cardea.client.post('/logout', { session })).status).toBe(204)
      expect((await read()).status).toBe(401)
      await expect.poll(async () => (await read(1)).status).toBe(401)
    } finally {
      await back()
    }
    for (const instance of [0, 1]) expect((await read(instance)).status).toBe(401)
  })
})

test('a copy that another instance could reach is put right once Redis is back for this one', async () => {
  const { invalidator, cache } = cardea.instances[0]?.core.cookieSessions ?? {}
  const { sessionId } = handleFields(session)
  const stale = '{"old":true}'
  await expect.poll(() => cache?.isReady()).toBe(true)
  await redis.kill()
  await invalidator?.drop([sessionId])
  await redis.restart()
  await expect.poll(() => look.status).toBe('ready')
  await look.set(`cardea:session:${sessionId}`, stale)
  await expect.poll(() => look.exists(`cardea:session:${sessionId}`)).toBe(0)
})

test('Redis that is flushed signs nobody out', async () => {
  await read()
  await look.flushall()
  for (const instance of [0, 1]) expect((await read(instance)).status).toBe(200)
})

test('while Postgres is away nobody is logged out: 503, the cookie kept, and good again afterwards', async () => {
  const copied = session
  const fresh = await cardea.client.logInForCookie(account)
  const revoked = await cardea.client.logInForCookie(account)
  const { sessionId } = handleFields(revoked)
  const target = { token: operator, body: { sid: sessionId } }
  expect((await cardea.client.post('/admin/revoke', target)).status).toBe(200)
  await postgres.kill()
  const requests = [
    ['GET', '/session', {}],
    ['GET', '/account', {}],
    ['PUT', '/session/data', { headers: { 'if-match': '*' }, body: {} }],
    ['POST', '/logout', {}],
    ['POST', '/session/reauthenticate', { body: { password: account.password } }],
  ] as const
  for (const [method, path, options] of requests) {
    const answer = await cardea.client.send(method, path, { ...options, session: fresh })
    expect(answer.status, path).toBe(503)
    expect(answer.headers.get('retry-after'), path).toMatch(/^[1-9]\d*$/)
    expect(answer.headers.getSetCookie(), path).toEqual([])
  }
  // What is revoked is known without Postgres.
  expect((await cardea.client.get('/session', { session: revoked })).status).toBe(401)
  await postgres.restart()
  for (const handle of [copied, fresh]) {
    await expect
      .poll(async () => (await cardea.client.get('/session', { session: handle })).status)
      .toBe(200)
  }
})

test('R58: Postgres away is noticed long before what is known of revocations is stale, and then no copy and no token opens anything', async () => {
  const config = { databaseConnectTimeoutMs: 500, databaseStatementTimeoutMs: 500 }
  // The clock stands still, so that no lease ends by itself.
  const clock = fakeClock()
  const still = await startCardea({ clock, database: postgres, redisUrl: redis.url, config })
  onTestFinished(still.stop)
  const { client } = still
  const person = await still.createAccount()
  const cookie = await client.logInForCookie(person)
  const { accessToken: token } = await client.logIn(person)
  const answers = async () => {
    const asked = [
      client.get('/session', { session: cookie }),
      ...[{ session: cookie }, { token }, {}].map((who) => client.get('/forward-auth', who)),
    ]
    return (await Promise.all(asked)).map(({ status }) => status)
  }
  const whenAllWorks = [200, 200, 200, 401]
  const { replica } = still.instances[0]?.core.revocations ?? {}
  await expect.poll(answers).toEqual(whenAllWorks)
  await postgres.kill()
  try {
    await expect.poll(answers).toEqual([503, 503, 503, 503])
    expect(replica?.state()).toBe('FRESH')
  } finally {
    await postgres.restart()
  }
  await expect.poll(answers).toEqual(whenAllWorks)
})
