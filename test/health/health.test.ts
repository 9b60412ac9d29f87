import { Redis } from 'ioredis'
import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import { startRedis } from '../support/servers/redis-server.ts'
import { startCardea } from '../support/service/cardea.ts'

const redis = await startRedis()
const cardea = await startCardea({ redisUrl: redis.url })
afterAll(async () => {
  await cardea.stop()
  await redis.stop()
})

const ready = async () => {
  const { status, body } = await cardea.client.get('/health/ready')
  return { status, body }
}

const allReady = {
  status: 200,
  body: {
    status: 'ready',
    stores: { postgres: 'ready', redis: 'ready' },
    revocations: 'ready',
    log: 'complete',
    clock: 'agrees',
    data: 'complete',
    process: 'serving',
  },
}

test('a running process says that it lives, to anyone, and that answer is not kept', async () => {
  const answer = await cardea.client.get('/health/live')
  expect(answer.status).toBe(200)
  expect(answer.body).toEqual({ status: 'live' })
  expect(answer.headers.get('cache-control')).toBe('no-store')
})

test('R104: without its Redis the service is degraded and still takes requests; with it again it is ready', async () => {
  await vi.waitFor(async () => expect(await ready()).toEqual(allReady))
  await redis.kill()
  await vi.waitFor(async () =>
    expect(await ready()).toEqual({
      status: 200,
      body: {
        status: 'degraded',
        stores: { postgres: 'ready', redis: 'unreachable' },
        revocations: 'ready',
        log: 'complete',
        clock: 'agrees',
        data: 'complete',
        process: 'serving',
      },
    }),
  )
  expect((await cardea.client.logIn(await cardea.createAccount())).status).toBe(200)
  await redis.restart()
  await vi.waitFor(async () => expect(await ready()).toEqual(allReady))
})

test('R104: with a Redis that replies and takes no writes the service is degraded, says so once in its log, and serves', async () => {
  await vi.waitFor(async () => expect(await ready()).toEqual(allReady))
  const admin = new Redis(redis.url)
  const logged = (text: string) => cardea.log.filter((line) => line.includes(text)).length
  onTestFinished(async () => {
    admin.disconnect()
  })
  await admin.config('SET', 'maxmemory', '1')
  await vi.waitFor(async () =>
    expect((await ready()).body).toEqual({
      ...allReady.body,
      status: 'degraded',
      stores: { postgres: 'ready', redis: 'refuses_writes' },
    }),
  )
  expect((await ready()).status).toBe(200)
  expect((await cardea.client.logIn(await cardea.createAccount())).status).toBe(200)
  await admin.config('SET', 'maxmemory', '0')
  await vi.waitFor(async () => expect(await ready()).toEqual(allReady))
  await vi.waitFor(() => expect(logged('redis takes writes again')).toBe(1))
  expect(logged('redis takes no writes')).toBe(1)
})

test('R104: a process that was asked to stop is not ready, and serves what comes all the same', async () => {
  const own = await startCardea()
  const [instance] = own.instances
  onTestFinished(() => own.stop())
  const person = await own.createAccount()
  expect((await own.client.get('/health/ready')).body.process).toBe('serving')
  await instance?.drain(0)
  const { status, body } = await own.client.get('/health/ready')
  expect([status, body.status, body.process]).toEqual([503, 'not_ready', 'stopping'])
  expect((await own.client.get('/health/live')).status).toBe(200)
  const { refreshToken } = await own.client.logIn(person)
  expect((await own.client.refresh(refreshToken)).status).toBe(200)
})

test('a process that does without Redis says so', async () => {
  const own = await startCardea({ redisUrl: null })
  onTestFinished(() => own.stop())
  const { status, body } = await own.client.get('/health/ready')
  expect(status).toBe(200)
  expect(body).toEqual({
    status: 'ready',
    stores: { postgres: 'ready', redis: 'in_process' },
    revocations: 'ready',
    log: 'complete',
    clock: 'agrees',
    data: 'complete',
    process: 'serving',
  })
})

test('R129: health tells no addresses, versions or names of stores', async () => {
  const { text } = await cardea.client.get('/health/ready')
  expect(text).not.toMatch(/\d+\.\d+|127|localhost|:\d{4}|cardea/)
})
