import { inspect } from 'node:util'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import {
  connectRedis,
  type RedisConnection,
  RedisLoginRejected,
  type RedisOptions,
  RedisRefusesWrites,
  redisFailure,
} from '../../src/infra/redis/redis.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { freePort } from '../support/servers/free-port.ts'
import { startRedisCluster } from '../support/servers/redis-cluster.ts'
import { startSentinel } from '../support/servers/redis-sentinel.ts'
import { patientRedisMs, startRedis } from '../support/servers/redis-server.ts'

const server = async (args: readonly string[] = []) => {
  const started = await startRedis({ args })
  onTestFinished(started.stop)
  return started
}

const connect = (url: string, more: Partial<RedisOptions> = {}) => {
  const errors: Error[] = []
  const recoveries: Error[] = []
  const made = connectRedis(url, {
    onError: (error) => errors.push(error),
    onRecovery: (outage) => recoveries.push(outage),
    random: systemRandom,
    commandTimeoutMs: patientRedisMs,
    ...more,
  })
  onTestFinished(made.close)
  return { ...made, errors, recoveries }
}

const ready = async (made: RedisConnection): Promise<void> => {
  await vi.waitUntil(made.isReady)
}

/** Makes sense of nothing but whether the canary is in any part of an error. */
const everythingIn = (error: unknown): string =>
  inspect(error, { depth: 10, showHidden: true }) + JSON.stringify(error) + String(error)

describe('a connection to Redis', () => {
  test('R104: begins with Redis away, fails commands at once, and is ready when Redis comes', async () => {
    const own = await server()
    await own.kill()
    const made = connect(own.url)
    await vi.waitUntil(() => made.errors.length > 0)
    expect(made.isReady()).toBe(false)
    await expect(made.assertTakesWrites()).rejects.toThrow()
    await own.restart()
    await ready(made)
    await made.assertTakesWrites()
    // Nothing is left behind where it was asked.
    expect(await made.client.dbsize()).toBe(0)
  })

  test('an outage is reported once, however many retries it takes, and the next one again', async () => {
    const own = await server()
    const made = connect(own.url)
    await ready(made)
    expect(made.errors).toHaveLength(0)
    for (const outages of [1, 2]) {
      let retries = 0
      const count = () => {
        retries += 1
      }
      made.client.on('reconnecting', count)
      await own.kill()
      await vi.waitUntil(() => retries >= 3)
      made.client.off('reconnecting', count)
      expect(made.errors).toHaveLength(outages)
      await own.restart()
      await ready(made)
    }
  })

  test('tells of every connection made, so that lost entries can be written again', async () => {
    const own = await server()
    const made = connect(own.url)
    let times = 0
    made.onReady(() => {
      times += 1
    })
    await ready(made)
    await vi.waitUntil(() => times === 1)
    // One who asks late is told of the present one.
    made.onReady(() => {
      times += 10
    })
    expect(times).toBe(11)
    await own.restart()
    await vi.waitUntil(() => times === 22)
  })

  test('a frozen Redis is given up, and found again when it is thawed', async () => {
    const own = await server()
    const made = connect(own.url, { commandTimeoutMs: 100 })
    await ready(made)
    own.freeze()
    await expect(made.assertTakesWrites()).rejects.toThrow('timed out')
    await vi.waitUntil(() => !made.isReady())
    own.thaw()
    await ready(made)
    await made.assertTakesWrites()
  })

  test('uses the password and the database of its URL', async () => {
    const own = await server(['--requirepass', 'p@ss word'])
    const made = connect(`redis://:p%40ss%20word@127.0.0.1:${own.port}/5`)
    await ready(made)
    await made.client.set('key', 'value')
    expect(String(await made.client.info('keyspace'))).toContain('db5:')
  })

  test('can be closed with Redis away, and then does not come back with it', async () => {
    const own = await server()
    await own.kill()
    const closed = connect(own.url)
    const kept = connect(own.url)
    await vi.waitUntil(() => closed.errors.length > 0)
    await closed.close()
    let returned = false
    closed.onReady(() => {
      returned = true
    })
    await own.restart()
    await ready(kept)
    expect(returned).toBe(false)
    expect(
      String(await kept.client.client('LIST'))
        .trim()
        .split('\n'),
    ).toHaveLength(1)
  })

  test('finds the primary through a Sentinel, also one that demands a password of its own, with and without a user', async () => {
    const primary = await server(['--requirepass', 'of the servers'])
    const port = await freePort()
    const sentinel = await startSentinel([
      `port ${port}`,
      'requirepass "of the sentinels"',
      'user watcher on ">of the watcher" ~* &* +@all',
      `sentinel monitor cardea 127.0.0.1 ${primary.port} 1`,
      'sentinel auth-pass cardea "of the servers"',
    ])
    onTestFinished(sentinel.stop)
    const away = await freePort()
    const hosts = `127.0.0.1:${away},127.0.0.1:${port}`
    const url = `redis+sentinel://:of%20the%20servers@${hosts}/cardea`
    for (const login of [
      { username: undefined, password: 'of the sentinels' },
      { username: 'watcher', password: 'of the watcher' },
    ]) {
      const made = connect(url, { sentinel: login })
      await ready(made)
      await made.assertTakesWrites()
    }
    for (const sentinelLogin of [undefined, { username: undefined, password: 'canary-wrong' }]) {
      const refused = connect(url, {
        ...(sentinelLogin && { sentinel: sentinelLogin }),
      })
      await expect(refused.assertLogin(60_000)).rejects.toBeInstanceOf(RedisLoginRejected)
      expect(everythingIn(refused.errors)).not.toContain('canary')
    }
  })

  test('reaches the nodes of a Cluster', async () => {
    const node = await server(['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'])
    const direct = connect(node.url)
    await ready(direct)
    const made = connect(`redis+cluster://127.0.0.1:${node.port}`)
    // A cluster that is not whole yet counts as away.
    await vi.waitUntil(() => made.errors.length > 0)
    expect(made.isReady()).toBe(false)
    await direct.client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await ready(made)
    await made.assertTakesWrites()
    await made.client.set('a', '1')
    expect(await made.client.get('a')).toBe('1')
  })
})

describe('a login that Redis rejects', () => {
  test('R113: is told apart from a Redis that is away, whatever is wrong with it, and shows no password', async () => {
    const own = await server(['--requirepass', 'right'])
    for (const [access, database] of [
      [':canary-wrong@', ''],
      ['nobody:canary-wrong@', ''],
      ['', ''],
      [':right@', '/99'],
    ]) {
      const made = connect(`redis://${access}127.0.0.1:${own.port}${database}`)
      const failure = await made.assertLogin(60_000).catch((error: unknown) => error)
      expect(failure).toBeInstanceOf(RedisLoginRejected)
      if (access?.includes('canary')) await vi.waitUntil(() => made.errors.length > 0)
      expect(everythingIn([failure, made.errors])).not.toContain('canary')
    }
    const right = connect(`redis://:right@127.0.0.1:${own.port}`)
    await right.assertLogin(60_000)
  })

  test('is told of every node of a Cluster, too', async () => {
    const node = await server(['--cluster-enabled', 'yes', '--requirepass', 'right'])
    const made = connect(`redis+cluster://:canary-wrong@127.0.0.1:${node.port}`)
    const failure = await made.assertLogin(60_000).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(RedisLoginRejected)
    expect(String(failure)).toContain('WRONGPASS')
    expect(everythingIn(failure)).not.toContain('canary')
  })

  test('R104: a Redis that is away, or says nothing, is waited for no longer than that', async () => {
    const own = await server()
    own.freeze()
    await connect(own.url).assertLogin(50)
    own.thaw()
    await own.kill()
    await connect(own.url).assertLogin(60_000)
  })
})

describe('a Redis that replies and takes no writes', () => {
  const refusalOf = async (made: RedisConnection) => {
    const failure = await made.assertTakesWrites().catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(RedisRefusesWrites)
    expect(made.refusesWrites(failure)).toBe(true)
    return String(failure)
  }
  const admin = async (url: string) => {
    const made = connect(url)
    await ready(made)
    return made.client
  }
  /** Told once, and the end of it once, although nobody but the connection itself looked again. */
  const whenOver = async ({ errors, recoveries, outage }: ReturnType<typeof connect>) => {
    await vi.waitUntil(() => outage() === undefined)
    expect([errors.length, recoveries.length]).toEqual([1, 1])
    expect(errors[0]).toBeInstanceOf(RedisRefusesWrites)
  }

  test('because it is full is told once, until it has room again', async () => {
    const own = await server()
    const made = connect(own.url)
    await ready(made)
    const owner = await admin(own.url)
    await made.assertTakesWrites()
    await owner.config('SET', 'maxmemory', '1')
    for (let times = 0; times < 3; times += 1) expect(await refusalOf(made)).toContain('OOM')
    await owner.config('SET', 'maxmemory', '0')
    await whenOver(made)
  })

  test('because it is a replica is told once, however often it is left and found again', async () => {
    const [primary, own] = [await server(), await server()]
    const owner = await admin(own.url)
    await owner.replicaof('127.0.0.1', primary.port)
    const made = connect(own.url)
    let connections = 0
    made.onReady(() => {
      connections += 1
    })
    await ready(made)
    expect(await refusalOf(made)).toContain('READONLY')
    await vi.waitUntil(() => connections > 2)
    expect(made.errors.map(String)).toEqual([expect.stringContaining('READONLY')])
    await owner.call('REPLICAOF', 'NO', 'ONE')
    await whenOver(made)
  })

  test('because it is a node of a Cluster behind the URL of a single server is told, also for keys of its own slots', async () => {
    const node = await server(['--cluster-enabled', 'yes'])
    const owner = await admin(node.url)
    await owner.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    const made = connect(node.url)
    await ready(made)
    expect(await refusalOf(made)).toContain('node of a Redis Cluster')
  })

  test('because its user may not write is told', async () => {
    const own = await server()
    const owner = await admin(own.url)
    await owner.call('ACL', 'SETUSER', 'reader', 'on', '>pw', '~*', '+@all', '-@write')
    const made = connect(`redis://reader:pw@127.0.0.1:${own.port}`)
    await ready(made)
    expect(await refusalOf(made)).toContain('NOPERM')
  })

  test('in one master of a Cluster is told, whichever it is', async () => {
    const cluster = await startRedisCluster()
    onTestFinished(cluster.stop)
    const made = connect(cluster.url)
    await ready(made)
    await made.assertTakesWrites()
    for (const { client } of cluster.masters) {
      await client.config('SET', 'maxmemory', '1')
      expect(await refusalOf(made)).toContain('OOM')
      await client.config('SET', 'maxmemory', '0')
      await made.assertTakesWrites()
    }
  })
})

describe('a failure of Redis', () => {
  test('is told by its message alone, also when several addresses failed', () => {
    const refused = new Error('connect ECONNREFUSED 127.0.0.1:6379')
    expect(redisFailure(new AggregateError([refused, refused])).message).toBe(
      'redis: connect ECONNREFUSED 127.0.0.1:6379',
    )
    expect(redisFailure('odd').message).toBe('redis: unknown failure')
  })
})
