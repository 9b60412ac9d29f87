import { randomBytes } from 'node:crypto'
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from 'vitest'
import { connectRedis, type RedisConnection } from '../../src/infra/redis/redis.ts'
import { type Clock, systemClock, systemRandom } from '../../src/lib/machine.ts'
import { loginLimits } from '../../src/login/admit-attempt.ts'
import {
  type LoginLimitRules,
  type LoginLimits,
  loginErrors,
  loginLimitRules,
  originOf,
} from '../../src/login/login-limits.ts'
import { memoryCounters, redisCounters } from '../../src/login/redis-counters.ts'
import {
  admitted,
  attempt,
  deviceA,
  fail,
  failTimes,
  loginLimitsContract,
} from '../contract/login-limits.contract.ts'
import { patientRedisMs, type RedisServer, startRedis } from '../support/servers/redis-server.ts'

const identifierKey = randomBytes(32)
const noError = (error: unknown) => {
  throw error
}

loginLimitsContract('the memory of one process', async (rules) =>
  loginLimits({
    identifierKey,
    rules,
    counters: memoryCounters(systemClock),
    clock: systemClock,
    onError: noError,
  }),
)

let connection: RedisConnection
const opened: RedisConnection[] = []

const open = (url: string, commandTimeoutMs: number): RedisConnection => {
  const made = connectRedis(url, {
    onError: () => undefined,
    random: systemRandom,
    commandTimeoutMs,
  })
  opened.push(made)
  return made
}

const connect = async (url = server.url): Promise<RedisConnection> => {
  const made = open(url, patientRedisMs)
  await vi.waitUntil(made.isReady)
  return made
}

const limitsOn = (
  { client }: RedisConnection,
  rules: LoginLimitRules = loginLimitRules(),
  onError: (error: unknown) => void = () => undefined,
  clock: Pick<Clock, 'nowMs'> = systemClock,
): LoginLimits =>
  loginLimits({
    identifierKey,
    clock,
    rules,
    counters: redisCounters({ client, clock: systemClock, onError }),
    onError,
  })

const server = await startRedis()

afterAll(async () => {
  await server.stop()
})

describe('on a Redis', () => {
  beforeAll(async () => {
    connection = await connect()
  })
  beforeEach(async () => {
    await connection.client.flushall()
  })

  loginLimitsContract('Redis', async (rules) => limitsOn(connection, rules, noError))

  test('R110: fifty attempts at once over three instances get one budget of four', async () => {
    const instances = [limitsOn(connection), limitsOn(await connect()), limitsOn(await connect())]
    const outcomes = await Promise.all(
      Array.from({ length: 51 }, (_, index) => fail(instances[index % 3]!)),
    )
    expect(admitted(outcomes)).toBe(4)
  })

  test('R110: attempts on one account that take long keep their places when others come a minute later', async () => {
    let nowMs = Date.UTC(2027, 0, 1, 12, 0, 59)
    const clock = { nowMs: () => nowMs }
    const limits = limitsOn(connection, loginLimitRules(), noError, clock)
    const slow = [await limits.admit(attempt()), await limits.admit(attempt())]
    nowMs += 59_000
    slow.push(await limits.admit(attempt()), await limits.admit(attempt()))
    expect(await fail(limits)).toMatchObject({ limit: 'account', retryAfterSeconds: 1 })
    // All have failed by now, so the account has spent its budget.
    for (const one of slow) await one.failed()
    expect((await fail(limits))?.retryAfterSeconds).toBeGreaterThan(50)
  })

  test('places that a killed process never gave back are free after two minutes', async () => {
    let nowMs = Date.UTC(2027, 0, 1, 12, 0, 0)
    const limits = limitsOn(connection, loginLimitRules(), noError, { nowMs: () => nowMs })
    for (let count = 0; count < 4; count += 1) await limits.admit(attempt())
    nowMs += 119_000
    expect(await fail(limits)).toMatchObject({ limit: 'account' })
    nowMs += 1_000
    expect(await fail(limits)).toBeUndefined()
  })

  test('R114: Redis holds no e-mail address, and every key expires', async () => {
    const limits = limitsOn(connection)
    await fail(limits)
    await fail(limits, { deviceId: deviceA })
    const keys = await connection.client.keys('*')
    // Failures and what is under way, for each limit.
    expect(keys).toHaveLength(18)
    for (const key of keys) {
      expect(key).toMatch(/^cardea:limit:[a-z0-9-]+:[A-Za-z0-9_./:-]+$/)
      expect(key).not.toContain('ada')
      expect(await connection.client.pttl(key)).toBeGreaterThan(0)
    }
  })

  test('a point is not given back to a window that began after it was taken', async () => {
    const counters = redisCounters({
      client: connection.client,
      clock: systemClock,
      onError: noError,
    })
    const counter = counters('source-under-way', { attempts: 2, seconds: 1 })
    const slow = await counter.take('a')
    await vi.waitUntil(async () => (await counter.look('a')) === undefined)
    await counter.take('a')
    await slow.giveBack()
    expect(await counter.look('a')).toMatchObject({ count: 1 })
  })
})

describe('while Redis does not do its part', () => {
  let own: RedisServer
  beforeEach(async () => {
    own = await startRedis()
  })
  afterEach(async () => {
    await own.stop()
  })

  test('R104: with Redis away each instance admits half, and says so once', async () => {
    const errors: unknown[] = []
    const made = await connect(own.url)
    const limits = limitsOn(made, loginLimitRules(), (error) => errors.push(error))
    await own.kill()
    await vi.waitUntil(() => !made.isReady())
    expect(admitted(await failTimes(limits, 10))).toBe(2)
    expect(errors).toHaveLength(1)
  })

  test('R104: with Redis away a success still ends the run of failures', async () => {
    const made = await connect(own.url)
    const limits = limitsOn(made)
    await own.kill()
    await vi.waitUntil(() => !made.isReady())
    await fail(limits)
    const success = await limits.admit(attempt())
    await success.succeeded()
    expect(admitted(await failTimes(limits, 10))).toBe(2)
  })

  test('R104: a service that starts without its Redis limits logins, and shares them once Redis is there', async () => {
    await own.kill()
    const made = open(own.url, patientRedisMs)
    const limits = limitsOn(made)
    expect(admitted(await failTimes(limits, 10))).toBe(2)
    await own.restart()
    await vi.waitUntil(made.isReady)
    expect(admitted(await failTimes(limits, 10))).toBe(4)
    expect(await fail(limitsOn(await connect(own.url)))).toBeDefined()
  })

  test('R104: a frozen Redis does not hold up a login, and counts again when it is thawed', async () => {
    const made = open(own.url, 100)
    await vi.waitUntil(made.isReady)
    const limits = limitsOn(made)
    await fail(limits, { identifier: 'warm-up@example.com' })
    own.freeze()
    // It stays frozen until they are answered.
    expect(admitted(await Promise.all([fail(limits), fail(limits), fail(limits)]))).toBe(2)
    own.thaw()
    const observer = await connect(own.url)
    await observer.client.flushall()
    await vi.waitUntil(async () => {
      await fail(limits, { identifier: `${systemRandom(8).toString('hex')}@example.com` })
      return (await observer.client.keys('cardea:limit:account-60s:*')).length > 0
    })
  })

  test('R103: a Redis that refuses the command counts as away', async () => {
    const errors: unknown[] = []
    const made = await connect(own.url)
    const limits = limitsOn(made, loginLimitRules(), (error) => errors.push(error))
    await made.client.call('ACL', 'SETUSER', 'default', '-@scripting')
    expect(admitted(await failTimes(limits, 10))).toBe(2)
    expect(errors).toHaveLength(1)
    expect(String(errors[0])).toContain('NOPERM')
    expect(JSON.stringify(Object.entries(errors[0] as object))).toBe('[]')
  })

  test('the limits hold on a Redis Cluster', async () => {
    const node = await startRedis({
      args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
    })
    onTestFinished(() => node.stop())
    const setup = await connect(node.url)
    await setup.client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    const made = await connect(`redis+cluster://127.0.0.1:${node.port}`)
    const limits = limitsOn(made)
    expect(admitted(await failTimes(limits, 10))).toBe(4)
    const success = await limits.admit(attempt({ identifier: 'bob@example.com' }))
    await success.succeeded()
    expect(await setup.client.keys('cardea:limit:account-60s:*')).toHaveLength(1)
  })
})

describe('the origin of an attempt', () => {
  test.each([
    ['192.0.2.77', '192.0.2.77', '192.0.2.0/24'],
    ['::ffff:192.0.2.77', '192.0.2.77', '192.0.2.0/24'],
    ['2001:DB8:1:2:3:4:5:6', '2001:db8:1:2::/64', '2001:db8:1::/48'],
    ['fe80::1%eth0', 'fe80::/64', 'fe80::/48'],
    ['::1', '::/64', '::/48'],
  ])('of %s is %s in %s', (address, source, network) => {
    expect(originOf(address)).toEqual({ source, network })
  })

  test.each(['', '192.0.2', 'localhost', '192.0.2.1:80', '192.0.2.1, 10.0.0.1'])(
    'of %j cannot be told',
    (address) => {
      expect(() => originOf(address)).toThrow()
    },
  )
})

test('the answer to a wrong login does not say what was wrong', () => {
  expect(loginErrors.error('invalid_credentials')).toMatchObject({
    status: 401,
    message: 'The e-mail address or the password is wrong.',
  })
})

afterAll(async () => {
  await Promise.all(opened.map((made) => made.close()))
})
