import { createHash, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { CookieSession } from '../../src/cookie-sessions/index.ts'
import { redisSessionCache } from '../../src/cookie-sessions/session-cache.ts'
import { connectRedis, type RedisConnection } from '../../src/infra/redis/redis.ts'
import { newId, systemClock, systemRandom } from '../../src/lib/machine.ts'
import { loginLimits } from '../../src/login/admit-attempt.ts'
import { type LoginLimitRules, loginLimitRules } from '../../src/login/login-limits.ts'
import { redisCounters } from '../../src/login/redis-counters.ts'
import { redisRevocationCache } from '../../src/revocation/revocation-cache.ts'
import {
  admitted,
  attempt,
  failTimes,
  loginLimitsContract,
} from '../contract/login-limits.contract.ts'
import { type ScratchFolder, scratchFolder } from '../support/programs/scratch-folder.ts'
import {
  type ClusterNode,
  type RedisCluster,
  startRedisCluster,
} from '../support/servers/redis-cluster.ts'
import { patientRedisMs, type RedisServer, startRedis } from '../support/servers/redis-server.ts'

const password = randomBytes(24).toString('hex')
let scratch: ScratchFolder
let server: RedisServer
/** Somebody who may do everything, to see what happened; not a user of the deployment. */
let inspector: Redis
let connection: RedisConnection
const errors: unknown[] = []

const users = await readFile(new URL('../../deploy/redis/users.acl', import.meta.url), 'utf8')
const digest = createHash('sha256').update(password).digest('hex')

beforeAll(async () => {
  scratch = await scratchFolder('redis-acl')
  const file = join(scratch.path, 'users.acl')
  const forInspection = `user inspector on >${password} ~* &* +@all\n`
  await writeFile(file, users.replace('PASSWORD_SHA256', digest) + forInspection)
  server = await startRedis({ args: ['--aclfile', file] })
  inspector = new Redis({ port: server.port, username: 'inspector', password })
  // Patient, so that on a busy machine nothing is counted elsewhere than in this Redis.
  connection = connectRedis(`redis://cardea:${password}@127.0.0.1:${server.port}`, {
    onError: (error) => errors.push(error),
    random: systemRandom,
    commandTimeoutMs: patientRedisMs,
  })
  await vi.waitUntil(connection.isReady)
})

afterAll(async () => {
  await connection.close()
  inspector.disconnect()
  await server.stop()
  await scratch.remove()
})

const onError = (error: unknown) => errors.push(error)

const limits = (rules: LoginLimitRules, { client }: Pick<RedisConnection, 'client'> = connection) =>
  loginLimits({
    counters: redisCounters({ client, clock: systemClock, onError }),
    identifierKey: randomBytes(32),
    rules,
    clock: systemClock,
    onError,
  })

/** What was refused to the user of the deployment. That `ioredis` may not introduce itself, from Redis 7.2 on, changes nothing. */
const refusals = async (by = inspector): Promise<string[]> => {
  const entries: unknown = await by.acl('LOG')
  return Array.isArray(entries)
    ? entries.map(String).filter((entry) => /,cardea,/.test(entry) && !/setinfo/i.test(entry))
    : []
}

loginLimitsContract('a Redis with the users of deploy/', async (rules) => {
  // Nothing counted yet, and the script sent again.
  await inspector.flushall()
  return limits(rules)
})

const newCopy = () => {
  const [sessionId, accountId] = [newId(systemRandom), newId(systemRandom)]
  const session: CookieSession = {
    ...{ kind: 'cookie', sessionId, accountId, email: 'bob@example.com', roles: [] },
    ...{ scope: 'account', clientId: 'first-party', audience: 'https://api.example.com' },
    ...{ amr: ['pwd'], acr: 'aal1', epochs: [1, 0, 0], generation: 0, createdAtMs: 1 },
    ...{ pendingGeneration: undefined, persists: true },
    ...{ authenticatedAtMs: 1, lastUsedAtMs: 1, idleExpiresAtMs: 2, absoluteExpiresAtMs: 3 },
    ...{ data: '{}', dataVersion: 1 },
  }
  return { session, secretDigest: 'digest', copiedAtMs: 1 }
}

/** The commands that a server was sent, by whoever it was. */
const commandsSentTo = async (by: Redis): Promise<string[]> => {
  const stats = await by.info('commandstats')
  return [...stats.matchAll(/^cmdstat_([^:]+):/gm)].map(([, name]) => name ?? '')
}

/** With one user who may do everything, to see what happened, by the name that ioredis takes when it is given none. */
const startClusterOf = async (users: string): Promise<RedisCluster> => {
  const own = users.split('\n').filter((line) => line.startsWith('user cardea '))
  const file = join(scratch.path, 'cluster.acl')
  await writeFile(file, `${own.join('\n')}\nuser default on nopass ~* &* +@all\n`)
  return startRedisCluster(['--aclfile', file])
}

/** Everything that Cardea does in a Redis; returns keys of what it has left there. */
const doAll = async (redis: RedisConnection) => {
  const counted = limits(loginLimitRules(), redis)
  expect(admitted(await failTimes(counted, 5))).toBe(4)
  const { succeeded } = await counted.admit(attempt({ identifier: 'bob@example.com' }))
  await succeeded()
  const mirror = redisRevocationCache(redis, { clock: systemClock, random: systemRandom })
  const notAfter = Math.ceil(systemClock.nowMs() / 1000) + 60
  const tokens = Array.from({ length: 20 }, () => newId(systemRandom))
  const [token = ''] = tokens
  const account = newId(systemRandom)
  await mirror.write([
    ...tokens.map((key) => ({ kind: 'jti', key, minEpoch: undefined, notAfter }) as const),
    { kind: 'sub', key: account, minEpoch: 7, notAfter },
    { kind: 'sub', key: account, minEpoch: 6, notAfter },
    { kind: 'everyone', key: '', minEpoch: 9, notAfter },
  ])
  await mirror.isIntact()
  await mirror.beginRewrite()
  await mirror.markIntact()
  expect(await mirror.isIntact()).toBe(true)
  const copies = redisSessionCache(redis, [{ id: 0, key: randomBytes(32) }])
  const copy = newCopy()
  const { sessionId } = copy.session
  await copies.write(copy)
  expect(await copies.read(sessionId)).toEqual(copy)
  await copies.write({ ...copy, session: { ...copy.session, dataVersion: 0 } })
  expect(await copies.read(sessionId)).toEqual(copy)
  await copies.drop([sessionId])
  await redis.assertTakesWrites()
  expect(errors).toEqual([])
  return { counted, token, account, sessionId }
}

describe('the Redis user of deploy/', () => {
  test('R129: may count login attempts, mirror revocations and keep copies of sessions, and is refused nothing', async () => {
    const { counted, token, account, sessionId } = await doAll(connection)
    const keys = await inspector.keys('cardea:limit:*')
    expect(keys).not.toEqual([])
    // A count that would never end is given an end again.
    for (const key of keys) await inspector.persist(key)
    await failTimes(counted, 5)
    const endsInMs = await Promise.all(keys.map((key) => inspector.pttl(key)))
    expect(Math.max(...endsInMs)).toBeGreaterThan(0)
    expect(await inspector.get(`cardea:revoked:jti:${token}`)).toBe('1')
    expect(await inspector.get(`cardea:revoked:sub:${account}`)).toBe('7')
    expect(await inspector.get('cardea:revoked:everyone')).toBe('9')
    expect(await inspector.exists(`cardea:session:${sessionId}`)).toBe(0)
    expect(await refusals()).toEqual([])
  })

  const refused = /NOPERM|The user executing the script can't/

  test.each([
    ...['FLUSHALL', 'FLUSHDB', 'CONFIG GET *', 'CONFIG SET maxmemory 1', 'KEYS *', 'SCAN 0'],
    ...['ACL SETUSER cardea allkeys +@all', 'ACL LIST', 'SHUTDOWN', 'MONITOR'],
    ...['REPLICAOF 127.0.0.1 1', 'MODULE LIST', 'SCRIPT FLUSH', 'CLIENT KILL TYPE normal'],
    ...['PUBLISH cardea:wake x', 'GET somebody:else', 'SET somebody:else x'],
    'DEL cardea:limit:x somebody:else',
  ])('R129: is refused %s', async (line) => {
    const [command = '', ...args] = line.split(' ')
    await expect(connection.client.call(command, ...args)).rejects.toThrow(refused)
  })

  test.each(["return redis.call('GET', 'somebody:else')", "return redis.call('FLUSHALL')"])(
    'R129: gains nothing by the script %s',
    async (script) => {
      await expect(connection.client.eval(script, 0)).rejects.toThrow(refused)
    },
  )

  test('R129: is the only one: nobody comes in without a password or by another name', async () => {
    const stranger = async (more: { username?: string; password?: string }) => {
      const client = new Redis({
        port: server.port,
        lazyConnect: true,
        retryStrategy: () => null,
        enableReadyCheck: false,
        ...more,
      })
      client.on('error', () => undefined)
      try {
        return await client.get('cardea:mirror:intact')
      } finally {
        client.disconnect()
      }
    }
    await expect(stranger({})).rejects.toThrow(/NOAUTH/)
    await expect(stranger({ password })).rejects.toThrow(/WRONGPASS|NOAUTH/)
    await expect(stranger({ username: 'cardea', password: `${password}x` })).rejects.toThrow(
      /WRONGPASS|NOAUTH/,
    )
  })
})

describe('the same user in a Redis Cluster', () => {
  let cluster: RedisCluster
  let inCluster: RedisConnection

  beforeAll(async () => {
    cluster = await startClusterOf(users.replace('PASSWORD_SHA256', digest))
    inCluster = connectRedis(cluster.url.replace('//', `//cardea:${password}@`), {
      onError: (error) => errors.push(error),
      random: systemRandom,
      commandTimeoutMs: patientRedisMs,
    })
    await vi.waitUntil(inCluster.isReady)
  })
  afterAll(async () => {
    await inCluster?.close()
    await cluster?.stop()
  })

  /** Its key moves to another node at this moment: the one that has it no more says whom to ask. */
  const askWhileMoving = async (key: string): Promise<void> => {
    const source = await cluster.masterOf(key)
    const target = cluster.masters.find((node) => node !== source) ?? source
    const slot = await source.client.cluster('KEYSLOT', key)
    const id = async ({ client }: ClusterNode) => String(await client.cluster('MYID'))
    await target.client.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', await id(source))
    await source.client.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', await id(target))
    expect(await inCluster.client.get(key)).toBeNull()
    for (const { client } of [target, source]) {
      await client.call('CLUSTER', 'SETSLOT', slot, 'STABLE')
    }
  }

  test('R129: may do all that it needs, on every node, and is refused nothing', async () => {
    await doAll(inCluster)
    await askWhileMoving(`cardea:revoked:jti:${newId(systemRandom)}`)
    for (const { client } of cluster.masters) expect(await refusals(client)).toEqual([])
  })

  test('R129: may run no command that Cardea sends neither there nor to a single server', async () => {
    const servers = [inspector, ...cluster.masters.map(({ client }) => client)]
    const used = (await Promise.all(servers.map(commandsSentTo))).flat()
    const allowed = [...users.matchAll(/ \+(\S+)/g)].map(([, name = '']) => name)
    expect(allowed.length).toBeGreaterThan(5)
    // Sent when the connection is closed.
    const unused = allowed.filter((name) => !used.includes(name))
    // The second is sent by the health check of docker-compose.yml.
    expect(unused.filter((name) => !['quit', 'ping'].includes(name))).toEqual([])
  })

  test.each([
    ...['CLUSTER NODES', 'CLUSTER RESET HARD', 'CLUSTER FAILOVER', 'CLUSTER MEET 127.0.0.1 1'],
    ...['CLUSTER FORGET x', 'CLIENT LIST', 'CLIENT KILL TYPE normal', 'READONLY', 'FLUSHALL'],
    'CONFIG GET *',
  ])('R129: is refused %s', async (line) => {
    const [command = '', ...args] = line.split(' ')
    const [node] = cluster.masters
    const address = { port: node.server.port, username: 'cardea', password }
    const client = new Redis({ ...address, enableReadyCheck: false })
    try {
      await expect(client.call(command, ...args)).rejects.toThrow('NOPERM')
    } finally {
      client.disconnect()
    }
  })
})
