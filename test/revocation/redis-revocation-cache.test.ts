import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { RedisConnection } from '../../src/infra/redis/redis.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import {
  entryLifetimeMs,
  type RevocationCache,
  type RevocationEntry,
  redisRevocationCache,
} from '../../src/revocation/index.ts'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { seeded } from '../support/run/seeded.ts'
import { connectPatiently, type RedisServer, startRedis } from '../support/servers/redis-server.ts'

let server: RedisServer
let look: Redis
let connection: RedisConnection
let clock: FakeClock
let mirror: RevocationCache

beforeAll(async () => {
  server = await startRedis()
  look = new Redis(server.url)
})
afterAll(async () => {
  look.disconnect()
  await server.stop()
})
beforeEach(async () => {
  connection = connectPatiently(server.url)
  await new Promise<void>((resolve) => connection.onReady(resolve))
  await look.flushall()
  clock = fakeClock()
  mirror = redisRevocationCache(connection, { clock, random: systemRandom })
})

afterEach(() => connection.close())

const wholeSeconds = (ms: number): number => Math.ceil(ms / 1000)

const sid = (key: string, notAfterMs: number): RevocationEntry => ({
  kind: 'sid',
  key,
  minEpoch: undefined,
  notAfter: wholeSeconds(notAfterMs),
})

/** Everything in Redis, values included. */
const contents = async (): Promise<Record<string, string | null>> => {
  const keys = (await look.keys('*')).toSorted()
  return Object.fromEntries(await Promise.all(keys.map(async (key) => [key, await look.get(key)])))
}

test('each kind of entry has its own key, which ends when the entry does', async () => {
  const notAfter = wholeSeconds(clock.nowMs() + entryLifetimeMs)
  const minEpoch = undefined
  await mirror.write([
    { kind: 'jti', key: 'a', minEpoch, notAfter },
    { kind: 'sid', key: 'b', minEpoch, notAfter },
    { kind: 'sub', key: 'c', minEpoch: 3, notAfter },
    { kind: 'claims', key: 'c', minEpoch: 4, notAfter },
    { kind: 'kid', key: 'd', minEpoch, notAfter },
    { kind: 'everyone', key: '', minEpoch: 1_700_000_000, notAfter },
  ])
  expect(await contents()).toEqual({
    'cardea:revoked:jti:a': '1',
    'cardea:revoked:sid:b': '1',
    'cardea:revoked:sub:c': '3',
    'cardea:revoked:claims:c': '4',
    'cardea:revoked:kid:d': '1',
    'cardea:revoked:everyone': '1700000000',
  })
  for (const key of await look.keys('*')) {
    const leftMs = await look.pttl(key)
    expect(leftMs).toBeGreaterThan(entryLifetimeMs - 60_000)
    // Whole seconds, rounded up.
    expect(leftMs).toBeLessThanOrEqual(971_000)
  }
})

test('R78: an entry that has ended is not written again', async () => {
  clock.advance(1_000 - (clock.nowMs() % 1_000))
  const nowMs = clock.nowMs()
  await mirror.write([
    sid('ended', nowMs),
    sid('long-ended', nowMs - 1_000),
    sid('alive', nowMs + 5_000),
  ])
  expect(await contents()).toEqual({ 'cardea:revoked:sid:alive': '1' })
  clock.advance(5_000)
  await look.flushall()
  await mirror.write([sid('alive', nowMs + 5_000)])
  expect(await contents()).toEqual({})
})

test('I7: neither order nor duplicates of entries change what Redis holds, and epochs only rise', async () => {
  const { seed, next, shuffle } = seeded()
  const notAfterMs = clock.nowMs() + entryLifetimeMs
  const entries: RevocationEntry[] = []
  const expected: Record<string, string> = {}
  for (let made = 0; made < 40; made += 1) {
    const key = `account-${next(5)}`
    const kind = next(2) === 0 ? 'sub' : 'claims'
    // With as many digits as it takes to tell numbers from texts: "9" is more than "10" to a text.
    const minEpoch = 1 + next(2_000)
    entries.push(
      { kind, key, minEpoch, notAfter: wholeSeconds(notAfterMs) },
      sid(`session-${next(9)}`, notAfterMs),
    )
  }
  for (const { kind, key, minEpoch = 1 } of entries) {
    const name = `cardea:revoked:${kind}:${key}`
    expected[name] = String(Math.max(minEpoch, Number(expected[name] ?? 0)))
  }
  for (let round = 0; round < 30; round += 1) {
    await look.flushall()
    const order = shuffle([...entries, ...entries])
    for (let at = 0; at < order.length; ) {
      const size = 1 + next(20)
      await mirror.write(order.slice(at, at + size))
      at += size
    }
    expect(await contents(), `seed ${seed}, round ${round}`).toEqual(expected)
  }
})

test('more entries than go at once are all written', async () => {
  const notAfterMs = clock.nowMs() + entryLifetimeMs
  await mirror.write(Array.from({ length: 1_700 }, (_, place) => sid(`s${place}`, notAfterMs)))
  expect(await look.dbsize()).toBe(1_700)
})

test('it is intact from the time it is called so until a flush or a new connection', async () => {
  expect(await mirror.isIntact()).toBe(false)
  await mirror.beginRewrite()
  await mirror.markIntact()
  expect(await mirror.isIntact()).toBe(true)
  await look.flushall()
  expect(await mirror.isIntact()).toBe(false)
  await mirror.beginRewrite()
  await mirror.markIntact()
  expect(await mirror.isIntact()).toBe(true)
  // A restart that kept the mark may still have lost the last entries.
  const again = new Promise<void>((resolve) => {
    connection.client.once('ready', () => resolve())
  })
  await look.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
  await again
  expect(await mirror.isIntact()).toBe(false)
})

test('R71: a flush while everything is written again leaves no mark, also when another process begins meanwhile', async () => {
  const other = redisRevocationCache(connection, { clock, random: systemRandom })
  for (const one of [mirror, other]) expect(await one.isIntact()).toBe(false)
  await mirror.beginRewrite()
  await mirror.write([sid('written', clock.nowMs() + entryLifetimeMs)])
  await look.flushall()
  await other.beginRewrite()
  await mirror.markIntact()
  expect(await mirror.isIntact()).toBe(false)
  expect(await look.exists('cardea:mirror:intact')).toBe(0)
  await other.markIntact()
  expect(await other.isIntact()).toBe(true)
  expect(await look.keys('cardea:mirror:*')).toEqual(['cardea:mirror:intact'])
})

test('R71: an entry that a full Redis does not take takes the mark away, and with room all is written again', async () => {
  await mirror.beginRewrite()
  await mirror.markIntact()
  expect(await look.exists('cardea:mirror:intact')).toBe(1)
  const lost = sid('lost', clock.nowMs() + entryLifetimeMs)
  const epoch = { ...lost, kind: 'sub', minEpoch: 2 } as const
  for (const entry of [lost, epoch]) {
    await look.set('cardea:mirror:intact', '1')
    await look.config('SET', 'maxmemory', '1')
    try {
      await expect(mirror.write([entry])).rejects.toThrow('OOM')
      expect(await look.exists('cardea:mirror:intact')).toBe(0)
      expect(await mirror.isIntact()).toBe(false)
      await expect(mirror.beginRewrite()).rejects.toThrow('OOM')
    } finally {
      await look.config('SET', 'maxmemory', '0')
    }
  }
  await mirror.beginRewrite()
  await mirror.write([lost, epoch])
  await mirror.markIntact()
  expect(await look.exists('cardea:mirror:intact')).toBe(1)
})
