import { Redis } from 'ioredis'
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  expect,
  onTestFinished,
  test,
  vi,
} from 'vitest'
import { connectRedis, type RedisConnection } from '../../src/infra/redis/redis.ts'
import { systemClock, systemRandom } from '../../src/lib/machine.ts'
import {
  followRevocations,
  longPollNotifier,
  postgresReadLog,
  postgresRevocationLog,
  postgresRevocationPurge,
  redisRevocationCache,
  revocationFeed,
} from '../../src/revocation/index.ts'
import { type FakeClock, pastClock } from '../support/clocks/fake-clock.ts'
import { seeded } from '../support/run/seeded.ts'
import { type MigratedDatabase, migratedServer } from '../support/servers/migrated-database.ts'
import { openRevocation } from '../support/servers/open-revocation.ts'
import { connectPatiently, type RedisServer, startRedis } from '../support/servers/redis-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { idNamed, nameOfId } from '../support/service/named-id.ts'

const lifetimeMs = 970_000

let server: RedisServer
let look: Redis
let connection: RedisConnection
let store: MigratedDatabase
let clock: FakeClock

beforeAll(async () => {
  server = await startRedis()
  store = await migratedServer()
  look = new Redis(server.url)
})
afterAll(async () => {
  look.disconnect()
  await server.stop()
  await store.drop()
})
beforeEach(async () => {
  clock = pastClock()
  connection = connectPatiently(server.url)
  await new Promise<void>((resolve) => connection.onReady(resolve))
  await look.flushall()
  await sqlAs(store.ownerUrl)('DELETE FROM revocations')
})

afterEach(() => connection.close())

const follower = (through = connection) =>
  followRevocations({
    clock,
    feed: revocationFeed({
      log: postgresReadLog(store.database, clock, () => undefined),
      wakeUps: longPollNotifier(),
    }),
    cache: redisRevocationCache(through, { clock, random: systemRandom }),
  })

const append = (key: string) =>
  postgresRevocationLog(store.database, clock, () => undefined).append({
    target: { kind: 'sid', key: idNamed(key) },
    actor: 'system',
    reason: 'revoked',
  })

const openAppend = (key: string) => openRevocation(store.appUrl, 'sid', idNamed(key), clock.nowMs())

const mirrored = async (): Promise<string[]> =>
  (await look.keys('cardea:revoked:sid:*'))
    .map((key) => nameOfId(key.slice(key.lastIndexOf(':') + 1)))
    .toSorted()

test('whatever the order in which transactions begin, commit and are followed, no entry is lost', async () => {
  const { seed, next, shuffle } = seeded()
  for (let round = 0; round < 5; round += 1) {
    await look.flushall()
    await sqlAs(store.ownerUrl)('DELETE FROM revocations')
    const step = follower()
    const names = Array.from(
      { length: 12 },
      (_, place) => `r${round}n${String(place).padStart(2, '0')}`,
    )
    const open: Awaited<ReturnType<typeof openAppend>>[] = []
    for (const name of shuffle(names)) {
      open.push(await openAppend(name))
      if (next(2) === 0) await open.splice(next(open.length), 1)[0]?.commit()
      if (next(2) === 0) await step()
    }
    for (const one of shuffle(open)) {
      await one.commit()
      if (next(2) === 0) await step()
    }
    await step()
    expect(await mirrored(), `seed ${seed}, round ${round}`).toEqual(names)
  }
})

test('R71: after a flush all that has not ended is written again, and only that', async () => {
  const step = follower()
  await append('old')
  clock.advance(lifetimeMs - 1_000)
  await append('new')
  await step()
  expect(await mirrored()).toEqual(['new', 'old'])
  clock.advance(1_000)
  await look.flushall()
  await step()
  expect(await mirrored()).toEqual(['new'])
})

test('R71: a flush in the middle of a step that writes everything is mended by the next step', async () => {
  await append('one')
  const feed = revocationFeed({
    log: postgresReadLog(store.database, clock, () => undefined),
    wakeUps: longPollNotifier(),
  })
  const mirror = redisRevocationCache(connection, { clock, random: systemRandom })
  let isFirst = true
  const step = followRevocations({
    clock,
    feed,
    cache: {
      ...mirror,
      write: async (entries) => {
        await mirror.write(entries)
        if (isFirst) await look.flushall()
        isFirst = false
      },
    },
  })
  await step()
  expect(await mirrored()).toEqual([])
  expect(await look.exists('cardea:mirror:intact')).toBe(0)
  await step()
  expect(await mirrored()).toEqual(['one'])
  expect(await look.exists('cardea:mirror:intact')).toBe(1)
})

test('a loss that leaves no sign is mended within a minute', async () => {
  const step = follower()
  await append('one')
  await step()
  // As by an eviction.
  await look.del(`cardea:revoked:sid:${idNamed('one')}`)
  await step()
  expect(await mirrored()).toEqual([])
  clock.advance(60_000)
  await step()
  expect(await mirrored()).toEqual(['one'])
})

test('a step that fails loses nothing: the next one delivers what it would have', async () => {
  // With a limit of its own: the patient connection would wait for a minute.
  const quick = connectRedis(server.url, {
    random: systemRandom,
    onError: () => undefined,
    commandTimeoutMs: 1_000,
  })
  onTestFinished(quick.close)
  const step = follower(quick)
  await vi.waitFor(step)
  await append('during')
  server.freeze()
  await expect(step()).rejects.toThrow()
  server.thaw()
  // The connection may have been given up meanwhile; the follower of the service then waits for the next one too.
  await vi.waitFor(async () => {
    expect(quick.isReady()).toBe(true)
    await step()
  })
  expect(await mirrored()).toEqual(['during'])
})

test('R78: the purge drops what has ended and nothing else, and several instances at once do not get in each other’s way', async () => {
  const nowMs = systemClock.nowMs()
  const rows = (count: number, name: string, notAfterMs: number) =>
    sqlAs(store.ownerUrl)(
      `INSERT INTO revocations (kind, key, not_after, actor, reason, created_at)
       SELECT 'sid', rpad($1 || n, 21, '_') || 'A', $2, 'system', 'revoked', now() FROM generate_series(1, $3) n`,
      [name, new Date(notAfterMs), count],
    )
  await rows(500, 'ended', nowMs - 1)
  await rows(50, 'alive', nowMs + 1_000)
  const purge = postgresRevocationPurge(store.database)
  expect(await purge.dropEnded(nowMs, 100)).toBe(100)
  const purgeAll = async (): Promise<number> => {
    const dropped = await purge.dropEnded(nowMs, 30)
    return dropped === 0 ? 0 : dropped + (await purgeAll())
  }
  const dropped = await Promise.all([purgeAll(), purgeAll(), purgeAll()])
  expect(dropped.reduce((sum, count) => sum + count, 0)).toBe(400)
  const left = await sqlAs(store.ownerUrl)<{ name: string; count: number }>(
    `SELECT regexp_replace(key, '\\d+_*A$', '') AS name, count(*)::integer AS count FROM revocations GROUP BY 1`,
  )
  expect(left).toEqual([{ name: 'alive', count: 50 }])
})
