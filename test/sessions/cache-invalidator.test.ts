import { Redis } from 'ioredis'
import { afterAll, beforeEach, expect, inject, test } from 'vitest'
import {
  type CacheInvalidator,
  cachedSessionLifetimeMs,
  cacheInvalidator,
  redisSessionCache,
} from '../../src/cookie-sessions/index.ts'

import { connectRedis } from '../../src/infra/redis/redis.ts'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { startTcpProxy } from '../support/servers/tcp-proxy.ts'

let clock: FakeClock
let errors: unknown[]
let keeper: CacheInvalidator
let sessionId: string

const keyring = [{ id: 0, key: systemRandom(32) }] as const

const proxy = await startTcpProxy(inject('redisUrl'))
const redis = connectRedis(proxy.through(inject('redisUrl')), {
  random: systemRandom,
  commandTimeoutMs: 100,
  onError: () => undefined,
})
/** Another process, which reaches Redis all the time. */
const other = new Redis(inject('redisUrl'))
afterAll(async () => {
  await redis.close()
  other.disconnect()
  await proxy.stop()
})
beforeEach(async () => {
  await back()
  clock = fakeClock()
  errors = []
  keeper = cacheInvalidator(clock, redisSessionCache(redis, keyring), (error) => errors.push(error))
  sessionId = newId(systemRandom)
})

const away = async (): Promise<void> => {
  proxy.pointTo('redis://127.0.0.1:1')
  proxy.cutAll()
  await expect.poll(redis.isReady).toBe(false)
}

const back = async (): Promise<void> => {
  proxy.pointTo(inject('redisUrl'))
  await expect.poll(redis.isReady).toBe(true)
}

/** Whether a copy that somebody makes now is taken away. */
const settlesCopy = async (): Promise<boolean> => {
  const key = `cardea:session:${sessionId}`
  await other.set(key, 'a copy', 'PX', cachedSessionLifetimeMs)
  await keeper.settle()
  return (await other.exists(key)) === 0
}

test('a change that Redis does not hear of is owed for as long as a copy of before may be used', async () => {
  await away()
  await keeper.drop([sessionId])
  clock.advance(cachedSessionLifetimeMs - 1)
  await back()
  expect(await settlesCopy()).toBe(true)
  expect(await settlesCopy()).toBe(false)
})

test('a second change is owed from its own time on: what was there between the two may have been copied', async () => {
  await away()
  await keeper.drop([sessionId])
  clock.advance(cachedSessionLifetimeMs - 1)
  await keeper.drop([sessionId])
  clock.advance(cachedSessionLifetimeMs - 1)
  await back()
  expect(await settlesCopy()).toBe(true)
})

test('another try in vain puts nothing off', async () => {
  await away()
  await keeper.drop([sessionId])
  clock.advance(cachedSessionLifetimeMs - 1)
  await back()
  // Longer than a command may take, and not as long as a connection may be silent.
  proxy.slowDown({ toClientMs: 150 })
  await keeper.settle()
  proxy.slowDown({})
  expect(errors).toHaveLength(1)
  clock.advance(1)
  expect(await settlesCopy()).toBe(false)
})

test('a change that succeeds late pays nothing of what failed after it began', async () => {
  let answer = (): void => undefined
  const answers = [
    () => new Promise<void>((resolve) => (answer = resolve)),
    () => Promise.reject(new Error('away')),
    () => Promise.resolve(),
  ]
  let asked = 0
  // As of a cluster, one of whose nodes is slow while another goes away. Not even a real one can be made to do so in this order.
  const cluster = cacheInvalidator(
    clock,
    {
      isReady: () => true,
      read: async () => undefined,
      write: async () => undefined,
      drop: async () => answers[asked++]?.(),
    },
    (error) => errors.push(error),
  )
  const first = cluster.drop([sessionId, newId(systemRandom)])
  await cluster.drop([sessionId])
  answer()
  await first
  await cluster.settle()
  expect(asked).toBe(3)
})
