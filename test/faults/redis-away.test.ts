import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { timeAwake } from '../support/clocks/awake-clock.ts'
import { type RedisServer, startRedis } from '../support/servers/redis-server.ts'
import { startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { LoggedIn } from '../support/service/client.ts'
import { whenRefused } from '../support/service/when-refused.ts'

/** Access token lifetime, leeway and mint slack: see `src/lib/machine.ts`. */
const longestSeconds = 970

let redis: RedisServer
let proxy: TcpProxy
let cardea: Cardea
let account: TestAccount
let operator: string
let loggedIn: LoggedIn
let look: Redis

beforeAll(async () => {
  redis = await startRedis()
  proxy = await startTcpProxy(redis.url)
  cardea = await startCardea({
    instances: 2,
    redisUrl: proxy.through(redis.url),
    config: { redisTimeoutMs: 100 },
  })
  account = await cardea.createAccount()
  operator = await cardea.operatorToken()
  look = new Redis(redis.url)
  look.on('error', () => undefined)
})
afterAll(async () => {
  look.disconnect()
  await cardea.stop()
  await proxy.stop()
  await redis.stop()
})
beforeEach(async () => {
  loggedIn = await cardea.client.logIn(account)
})

const revoke = async (target: object) => {
  const answer = await cardea.client.post('/admin/revoke', { token: operator, body: target })
  expect(answer.status).toBe(200)
  return answer.body
}

const payloadOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

const revokedKeys = async (): Promise<string[]> => (await look.keys('cardea:revoked:*')).toSorted()

/** Nobody asks for it: the follower of some instance has to do it. */
const whenBack = async (keys: readonly string[]): Promise<void> =>
  vi.waitFor(async () => expect(await revokedKeys()).toEqual(expect.arrayContaining([...keys])), {
    interval: 50,
  })

const patient = { interval: 50 }

const faults = {
  stopped: { begin: () => redis.kill(), end: () => redis.restart() },
  frozen: { begin: () => redis.freeze(), end: () => redis.thaw() },
  slow: {
    begin: () => proxy.slowDown({ toServerMs: 2_000, toClientMs: 2_000 }),
    end: () => proxy.slowDown({}),
  },
}

describe.each(['stopped', 'frozen', 'slow'] as const)('while Redis is %s', (fault) => {
  const { begin, end } = faults[fault]

  test('R104: login, refresh, logout and revocation work, within a second each, readiness says so and stays good, and what was revoked is in Redis once it is back', async () => {
    const { accessToken, refreshToken, body } = loggedIn
    const ended = await cardea.client.logIn(account)
    await begin()
    const took: number[] = []
    const timed = async <T>(work: () => Promise<T>): Promise<T> => {
      const { result, tookMs } = await timeAwake(work)
      took.push(tookMs)
      return result
    }
    await timed(() => cardea.clientOf(1).logIn(account))
    const refreshed = await timed(() => cardea.clientOf(1).refresh(refreshToken))
    expect(refreshed.status).toBe(200)
    const loggedOut = await timed(() =>
      cardea.client.post('/logout', { handle: ended.refreshToken }),
    )
    expect(loggedOut.status).toBe(204)
    const revoked = await timed(() => revoke({ sid: body.session_id }))
    expect(revoked.seq).toBeGreaterThan(0)
    // R70, R71: it holds without Redis, on every instance.
    for (const token of [accessToken, refreshed.body.access_token, ended.accessToken]) {
      for (const instance of [0, 1]) {
        await whenRefused(cardea.clientOf(instance), token)
      }
    }
    const late = await cardea.client.refresh(refreshed.refreshCookie ?? '')
    expect(late.body.reason).toBe('revoked')
    for (const tookMs of took) expect(tookMs).toBeLessThan(1_500)
    // An answer may be a second old.
    await vi.waitFor(async () => {
      const ready = await cardea.client.get('/health/ready')
      expect(ready.status).toBe(200)
      expect(ready.body).toMatchObject({ status: 'degraded', stores: { redis: 'unreachable' } })
    }, patient)
    await end()
    await whenBack([
      `cardea:revoked:sid:${body.session_id}`,
      `cardea:revoked:sid:${ended.body.session_id}`,
    ])
    await vi.waitFor(
      async () => expect((await cardea.client.get('/health/ready')).body.status).toBe('ready'),
      patient,
    )
  })
})

test.each(['FLUSHALL', 'restart'])(
  'R71: after a %s every entry comes back by itself, with the right value and no longer a life than before',
  async (loss) => {
    const other = await cardea.createAccount()
    const { accessToken } = await cardea.client.logIn(account)
    const { jti } = payloadOf(accessToken)
    await revoke({ sid: loggedIn.body.session_id })
    await revoke({ sub: other.id })
    await revoke({ sub: other.id })
    await revoke({ jti })
    const roles = { token: operator, body: { roles: ['reader'] } }
    await cardea.client.send('PATCH', `/admin/accounts/${other.id}`, roles)
    const keys = [
      `cardea:revoked:sid:${loggedIn.body.session_id}`,
      `cardea:revoked:sub:${other.id}`,
      `cardea:revoked:claims:${other.id}`,
      `cardea:revoked:jti:${jti}`,
    ]
    // Usually there before the response. On a slow machine Redis may miss its time-out, and the follower publishes them.
    await whenBack(keys)
    const before = await revokedKeys()
    if (loss === 'FLUSHALL') await look.flushall()
    else await redis.restart()
    await expect.poll(revokedKeys).toEqual(before)
    expect(await look.get(`cardea:revoked:sub:${other.id}`)).toBe('2')
    expect(await look.get(`cardea:revoked:claims:${other.id}`)).toBe('1')
    for (const key of keys) {
      const leftMs = await look.pttl(key)
      expect(leftMs).toBeGreaterThan((longestSeconds - 60) * 1000)
      // Ends are whole seconds, rounded up.
      expect(leftMs).toBeLessThanOrEqual((longestSeconds + 1) * 1000)
    }
    await whenRefused(cardea.clientOf(1), accessToken)
  },
)
