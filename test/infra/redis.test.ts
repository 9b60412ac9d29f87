import { inspect } from 'node:util'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { redisFailure } from '../../src/infra/redis/failure-text.ts'
import { connectRedis, type RedisConnection } from '../../src/infra/redis/redis.ts'
import { systemRandom } from '../../src/lib/random.ts'
import { freePort } from '../support/free-port.ts'
import { startSentinel } from '../support/redis-sentinel.ts'
import { startRedis } from '../support/redis-server.ts'

const atEnd: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of atEnd.splice(0).reverse()) await end()
})

const server = async (args: readonly string[] = []) => {
  const started = await startRedis({ args })
  atEnd.push(started.stop)
  return started
}

const connect = (url: string): RedisConnection & { readonly errors: Error[] } => {
  const errors: Error[] = []
  const made = connectRedis(url, { onError: (error) => errors.push(error), random: systemRandom })
  atEnd.push(made.close)
  return { ...made, errors }
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
    await expect(made.ping()).rejects.toThrow()
    await own.restart()
    await ready(made)
    await made.ping()
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
    await own.restart()
    await vi.waitUntil(() => times === 2)
  })

  test('tells of the present connection to one who asks late', async () => {
    const own = await server()
    const made = connect(own.url)
    await ready(made)
    let times = 0
    made.onReady(() => {
      times += 1
    })
    expect(times).toBe(1)
  })

  test('a frozen Redis is given up, and found again when it is thawed', async () => {
    const own = await server()
    const made = connect(own.url)
    await ready(made)
    own.freeze()
    await expect(made.ping()).rejects.toThrow('timed out')
    await vi.waitUntil(() => !made.isReady())
    own.thaw()
    await ready(made)
    await made.ping()
  })

  test('R113: a password that Redis refuses is in no part of the error', async () => {
    const own = await server(['--requirepass', 'right'])
    const made = connect(`redis://:canary-password@127.0.0.1:${own.port}`)
    await vi.waitUntil(() => made.errors.length > 0)
    expect(made.errors[0]?.message).toContain('WRONGPASS')
    expect(everythingIn(made.errors)).not.toContain('canary')
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

  test('finds the primary through a Sentinel', async () => {
    const primary = await server()
    const port = await freePort()
    const sentinel = await startSentinel([
      `port ${port}`,
      `sentinel monitor cardea 127.0.0.1 ${primary.port} 1`,
    ])
    atEnd.push(sentinel.stop)
    const away = await freePort()
    const made = connect(`redis+sentinel://127.0.0.1:${away},127.0.0.1:${port}/cardea`)
    await ready(made)
    await made.client.set('found', 'through the sentinel')
    const direct = connect(primary.url)
    await ready(direct)
    expect(await direct.client.get('found')).toBe('through the sentinel')
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
    await made.ping()
    await made.client.set('a', '1')
    expect(await made.client.get('a')).toBe('1')
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
