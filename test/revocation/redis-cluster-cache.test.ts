import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { connectRedis, type RedisConnection, slotTags } from '../../src/infra/redis/redis.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import {
  followRevocations,
  longPollNotifier,
  postgresReadLog,
  postgresRevocationLog,
  type RevocationCache,
  redisRevocationCache,
  revocationFeed,
} from '../../src/revocation/index.ts'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { type MigratedDatabase, migratedServer } from '../support/servers/migrated-database.ts'
import {
  type ClusterNode,
  type RedisCluster,
  startRedisCluster,
} from '../support/servers/redis-cluster.ts'
import { idNamed } from '../support/service/named-id.ts'

const intactKey = 'cardea:mirror:intact'

let cluster: RedisCluster
let connection: RedisConnection
let store: MigratedDatabase
let clock: FakeClock
let mirror: RevocationCache
/** Whether a service could trust Redis at the moment when a rewrite began. */
let wasIntactAtRewrite: boolean[]

beforeAll(async () => {
  store = await migratedServer()
  // So that a master that stays away takes nothing but its own share with it.
  cluster = await startRedisCluster(['--cluster-require-full-coverage', 'no'])
})
afterAll(async () => {
  await cluster.stop()
  await store.drop()
})

const connect = async () => {
  // Patient, so that on a busy machine no step fails for another reason than that of the test.
  const made = connectRedis(cluster.url, {
    random: systemRandom,
    onError: () => undefined,
    commandTimeoutMs: 20_000,
  })
  await vi.waitUntil(made.isReady)
  return made
}

beforeEach(async () => {
  clock = fakeClock()
  connection = await connect()
  mirror = redisRevocationCache(connection, { clock, random: systemRandom })
  wasIntactAtRewrite = []
})
afterEach(() => connection.close())

const ids = Array.from({ length: 30 }, (_, place) => idNamed(`session-${place}`))
const entryOf = (id: string): string => `cardea:revoked:sid:${id}`

const append = (key: string) =>
  postgresRevocationLog(store.database, clock, () => undefined).append({
    target: { kind: 'sid', key },
    actor: 'system',
    reason: 'revoked',
  })

const watched = (of: RevocationCache): RevocationCache => ({
  ...of,
  beginRewrite: async () => {
    wasIntactAtRewrite.push(await isIntact())
    await of.beginRewrite()
  },
})

const follower = (of = mirror) =>
  followRevocations({
    clock,
    feed: revocationFeed({
      log: postgresReadLog(store.database, clock, () => undefined),
      wakeUps: longPollNotifier(),
    }),
    cache: watched(of),
  })

const isIntact = async () => (await connection.client.exists(intactKey)) === 1

/** Steps until one has gone through with nothing to mend: a connection that is being opened fails the first. */
const settle = async (step: () => Promise<void>): Promise<void> => {
  await vi.waitUntil(
    async () => {
      const before = wasIntactAtRewrite.length
      const isDone = await step().then(
        () => true,
        () => false,
      )
      return isDone && before === wasIntactAtRewrite.length && (await isIntact())
    },
    { interval: 50 },
  )
}

const missing = async (keys: readonly string[]): Promise<string[]> => {
  const found = await Promise.all(keys.map((key) => connection.client.exists(key)))
  return keys.filter((_, place) => found[place] === 0)
}

const marks = slotTags().map((tag) => `${intactKey}:{${tag}}`)

const filled = async (): Promise<() => Promise<void>> => {
  for (const id of ids) await append(id)
  const step = follower()
  await settle(step)
  expect(await missing(ids.map(entryOf))).toEqual([])
  wasIntactAtRewrite = []
  return step
}

/** Those whose entries are not with the mark of the whole: its loss would show by itself. */
const beside = async (): Promise<readonly [ClusterNode, ClusterNode]> => {
  const own = await cluster.masterOf(intactKey)
  const [one, other] = cluster.masters.filter((node) => node !== own)
  if (!one || !other) throw new Error('a cluster has three masters')
  return [one, other]
}

test('every slot of a cluster has a mark of its own', async () => {
  const [first] = cluster.masters
  const slots = await Promise.all(marks.map((mark) => first.client.cluster('KEYSLOT', mark)))
  expect(slots).toEqual(marks.map((_, slot) => slot))
  await settle(follower())
  expect(await missing(marks)).toEqual([])
})

test('R71: what one master of a cluster has lost by a flush or a restart is missing together with its marks, and the mark of the whole goes before it is written again', async () => {
  const step = await filled()
  const [flushed, restarted] = await beside()
  for (const lose of [
    async () => flushed.client.flushall(),
    async () => {
      await restarted.server.restart()
      await cluster.isWhole()
    },
  ]) {
    await lose()
    const lost = await vi.waitFor(() => missing(ids.map(entryOf)))
    expect(lost).not.toEqual([])
    const tags = slotTags()
    for (const key of lost) {
      const slot = Number(await cluster.masters[0].client.cluster('KEYSLOT', key))
      expect(await missing([`${intactKey}:{${tags[slot]}}`]), key).toHaveLength(1)
    }
    await settle(step)
    expect(wasIntactAtRewrite[0]).toBe(false)
    wasIntactAtRewrite = []
    expect(await missing([...ids.map(entryOf), ...marks])).toEqual([])
  }
})

test('R71: an entry that a full master does not take takes the mark of its slot and of the whole away, and with room all is written again', async () => {
  const step = await filled()
  const [full] = await beside()
  const nodes = await Promise.all(ids.map((one) => cluster.masterOf(entryOf(one))))
  const id = ids[nodes.indexOf(full)] ?? ''
  const slot = await full.client.cluster('KEYSLOT', entryOf(id))
  await full.client.config('SET', 'maxmemory', '1')
  await full.client.del(entryOf(id))
  const minEpoch = undefined
  const notAfter = Math.ceil(clock.nowMs() / 1000) + 60
  await expect(mirror.write([{ kind: 'sid', key: id, minEpoch, notAfter }])).rejects.toThrow('OOM')
  expect(await missing([intactKey, marks[Number(slot)] ?? ''])).toHaveLength(2)
  await full.client.config('SET', 'maxmemory', '0')
  await settle(step)
  expect(await missing([...marks, ...ids.map(entryOf)])).toEqual([])
})

test('R71: a flush of one master while everything is written again leaves no mark on it, nor of the whole', async () => {
  const step = await filled()
  const [one] = await beside()
  await one.client.flushall()
  const own = redisRevocationCache(connection, { clock, random: systemRandom })
  await own.isIntact()
  await own.beginRewrite()
  await own.write(
    ids.map((key) => ({ kind: 'sid', key, minEpoch: undefined, notAfter: 9_999_999_999 })),
  )
  await one.client.flushall()
  await own.markIntact()
  expect(await one.client.dbsize()).toBe(0)
  expect(await isIntact()).toBe(false)
  await settle(step)
  expect(await missing([...ids.map(entryOf), ...marks])).toEqual([])
})

test('a process that starts, and the rewrite of every minute, leave a whole cluster trusted', async () => {
  await filled()
  const other = await connect()
  const another = redisRevocationCache(other, { clock, random: systemRandom })
  const step = follower(another)
  await settle(step)
  clock.advance(60_000)
  await step()
  expect(wasIntactAtRewrite.length).toBeGreaterThan(1)
  expect(wasIntactAtRewrite).not.toContain(false)
  await other.close()
})

test('R71: two processes that mend the same loss at once leave a whole cluster', async () => {
  const step = await filled()
  const other = await connect()
  const another = follower(redisRevocationCache(other, { clock, random: systemRandom }))
  await settle(another)
  const [one] = await beside()
  await one.client.flushall()
  await Promise.all([step(), another()])
  await settle(step)
  await settle(another)
  expect(await missing([...ids.map(entryOf), ...marks])).toEqual([])
  await other.close()
})

test('R71: while a master is away nothing is called intact, and what another one loses is seen', async () => {
  await filled()
  const [away, flushed] = await beside()
  await away.server.kill()
  await expect(mirror.isIntact()).rejects.toThrow()
  expect(await isIntact()).toBe(true)
  await flushed.client.flushall()
  await expect(mirror.isIntact()).rejects.toThrow()
  expect(await isIntact()).toBe(false)
  await away.server.restart()
  await cluster.isWhole()
})

/** Resolves once the connection has learned that `server` has the slots of some of `keys`, as it does from a command about them. */
const haveMoved = (keys: readonly string[], { server }: ClusterNode) =>
  vi.waitUntil(
    async () => {
      await missing(keys).catch(() => undefined)
      const { client } = cluster.masters[0]
      const slots = await Promise.all(keys.map((key) => client.cluster('KEYSLOT', key)))
      const masters = connection.slotMasters?.() ?? []
      return slots.some((slot) => masters[Number(slot)] === `127.0.0.1:${server.port}`)
    },
    { interval: 50 },
  )

test('R71: a slot that another master takes over without its keys has no mark until they are written again', async () => {
  const step = await filled()
  const [from, to] = await beside()
  const [entry = ''] = (
    await Promise.all(
      ids.map(async (id) => [entryOf(id), await cluster.masterOf(entryOf(id))] as const),
    )
  ).flatMap(([key, node]) => (node === from ? [key] : []))
  const slot = Number(await cluster.masters[0].client.cluster('KEYSLOT', entry))
  const mark = `${intactKey}:{${slotTags()[slot]}}`
  const toId = String(await to.client.cluster('MYID'))
  const fromId = String(await from.client.cluster('MYID'))
  await to.client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId)
  await from.client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId)
  await from.client.del(entry)
  await from.client.del(mark)
  // The new one first: it spreads its claim.
  for (const node of [to, from]) await node.client.call('CLUSTER', 'SETSLOT', slot, 'NODE', toId)
  await haveMoved([entry], to)
  expect(await missing([entry, mark])).toEqual([entry, mark])
  await settle(step)
  expect(await missing([entry, ...marks])).toEqual([])
})

// The last one: the cluster has another master afterwards.
test('R71: a replica that takes over without the last entries has the marks, and is not trusted', async () => {
  const step = await filled()
  const [master] = await beside()
  const replica = await cluster.addReplica(master)
  const late: string[] = []
  // It cannot log in again, and so receives nothing more.
  await replica.client.config('SET', 'masterauth', 'wrong')
  await master.client.call('CLIENT', 'KILL', 'TYPE', 'replica')
  for (let made = 0; made < 12; made += 1) {
    const id = idNamed(`late-${made}`)
    late.push(entryOf(id))
    await append(id)
  }
  await step()
  expect(await missing(late)).toEqual([])
  await replica.client.call('CLUSTER', 'FAILOVER', 'TAKEOVER')
  await haveMoved(late, replica)
  expect(await missing(late)).not.toEqual([])
  expect(await missing(marks)).toEqual([])
  wasIntactAtRewrite = []
  await settle(step)
  expect(wasIntactAtRewrite[0]).toBe(false)
  expect(await missing(late)).toEqual([])
})
