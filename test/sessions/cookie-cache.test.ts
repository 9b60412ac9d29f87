import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { startRedis } from '../support/servers/redis-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { statementCounter } from '../support/servers/statement-counter.ts'
import { startTcpProxy } from '../support/servers/tcp-proxy.ts'
import { startCardea } from '../support/service/cardea.ts'
import { handleFields } from '../support/service/handles.ts'

const clock = fakeClock()
const database = await freshDatabase()
const counter = statementCounter((statement) => statement.startsWith('cookie_session'))
const proxy = await startTcpProxy(database.appUrl, counter.observe)
const redis = await startRedis()
const look = new Redis(redis.url)
const cardea = await startCardea({
  clock,
  instances: 2,
  redisUrl: redis.url,
  database: { ownerUrl: database.ownerUrl, appUrl: proxy.through(database.appUrl) },
})
const asOwner = sqlAs(database.ownerUrl)
afterAll(async () => {
  look.disconnect()
  await cardea.stop()
  await proxy.stop()
  await redis.stop()
  await database.drop()
})

let session: string

const keyOf = (handle: string): string => `cardea:session:${handleFields(handle).sessionId}`

const read = (handle = session, instance = 0) =>
  cardea.clientOf(instance).get('/session', { session: handle })

/** Looked up, and copied. */
const whenCopied = async (handle = session): Promise<string> => {
  await expect
    .poll(async () => {
      await read(handle)
      return look.exists(keyOf(handle))
    })
    .toBe(1)
  return (await look.get(keyOf(handle))) ?? ''
}

/**
 * Every command that Redis received meanwhile, without the background work of both processes: the marks and new entries of the
 * revocation cache, the write probe and the counters of the login are written at times of their own.
 */
const commandsDuring = async (act: () => Promise<void>): Promise<string[][]> => {
  const seen: string[][] = []
  const monitor = await look.monitor()
  monitor.on('monitor', (_at: string, command: string[]) => seen.push(command))
  try {
    await act()
    const end = randomUUID()
    await look.echo(end)
    await vi.waitUntil(() => seen.some(([, argument]) => argument === end))
    return seen.filter(
      ([name = '', ...rest]) =>
        name.toLowerCase() !== 'echo' &&
        !rest.some((one) => /^cardea:(mirror|probe|limit)/.test(one)) &&
        !(/^(set|eval)$/i.test(name) && rest.some((one) => one.startsWith('cardea:revoked'))),
    )
  } finally {
    monitor.disconnect()
  }
}

beforeEach(async () => {
  session = await cardea.client.logInForCookie(await cardea.createAccount())
})

test('a look-up is one read of Redis when copied, and one statement when not', async () => {
  counter.take()
  expect((await read()).status).toBe(200)
  expect(counter.take()).toMatchObject({ Bind: 1, Execute: 1, Sync: 1, Query: 0 })
  await whenCopied()
  counter.take()
  const commands = await commandsDuring(async () => {
    for (let round = 0; round < 20; round += 1) {
      expect((await read(session, round % 2)).status).toBe(200)
    }
  })
  expect(counter.take()).toMatchObject({ Bind: 0, Sync: 0, Query: 0 })
  expect(commands).toEqual(Array.from({ length: 20 }, () => ['get', keyOf(session)]))
})

test('a copy expires, and is ignored when it is old by the clock of the service', async () => {
  await whenCopied()
  expect(await look.pttl(keyOf(session))).toBeGreaterThan(0)
  expect(await look.pttl(keyOf(session))).toBeLessThanOrEqual(60_000)
  await look.persist(keyOf(session))
  clock.advance(60_000)
  counter.take()
  expect((await read()).status).toBe(200)
  expect(counter.take()).toMatchObject({ Bind: 1 })
})

test('a copy holds neither the secret of the handle nor its handle', async () => {
  const text = await whenCopied()
  const secret = handleFields(session).secret
  for (const form of ['hex', 'base64', 'base64url'] as const) {
    expect(text).not.toContain(secret.toString(form))
  }
  expect(text).not.toContain(session)
})

test('what somebody else writes to Redis gives nobody other roles: a copy counts only with our MAC', async () => {
  const text = await whenCopied()
  const forged = text.replace('"roles":[]', '"roles":["operator"]')
  expect(forged).not.toBe(text)
  // Also by an instance that knows the right one already.
  expect((await read()).body.account.roles).toEqual([])
  await look.set(keyOf(session), forged)
  expect((await read()).body.account.roles).toEqual([])
  // And the next look-up repairs it.
  expect((await read()).body.account.roles).toEqual([])
})

test("another session's copy under its key is not used", async () => {
  const other = await cardea.client.logInForCookie(await cardea.createAccount())
  const own = await read()
  await whenCopied()
  await look.set(keyOf(session), await whenCopied(other))
  expect((await read()).body.account).toEqual(own.body.account)
})

test.each([
  '',
  'garbage',
  '1.x.{}',
  '99999999999999999999',
  '9'.repeat(5000),
  '\u0000\u00ff',
  '7.',
])('the garbage %j in the place of a copy is no obstacle', async (garbage) => {
  await look.set(keyOf(session), garbage)
  expect((await read()).status).toBe(200)
  await look.del(keyOf(session))
  await look.hset(keyOf(session), 'a', garbage)
  expect((await read()).status).toBe(200)
  // What stood in the place of the copy is gone.
  await expect.poll(() => look.type(keyOf(session))).toBe('string')
})

test('a copy of an ended session that comes back is refused on every instance', async () => {
  const stale = await whenCopied()
  expect((await cardea.client.post('/logout', { session })).status).toBe(204)
  expect(await look.exists(keyOf(session))).toBe(0)
  await look.set(keyOf(session), stale, 'PX', 60_000)
  expect((await read()).status).toBe(401)
  await expect.poll(async () => (await read(session, 1)).status).toBe(401)
  for (let round = 0; round < 5; round += 1) {
    expect((await read(session, round % 2)).status).toBe(401)
  }
})

test('a copy from before a step-up does not open the session to the old handle, nor hide the new state', async () => {
  const stale = await whenCopied()
  const body = { password: 'correct horse battery staple 7' }
  const renewed = await cardea.client.post('/session/reauthenticate', { session, body })
  const next = renewed.sessionCookie
  expect((await read(next)).status).toBe(200)
  const copy = cardea.instances[0]?.core.cookieSessions.cache
  const old = await copy?.read(handleFields(session).sessionId)
  expect(old?.session.generation).toBe(1)
  // A slow reader writes what it read before: the script refuses it.
  const [, , json = ''] = /^(\d+)[.]([\w-]+)[.](.+)$/s.exec(stale)?.slice(1) ?? []
  await copy?.write(JSON.parse(json))
  expect((await copy?.read(handleFields(session).sessionId))?.session.generation).toBe(1)
  expect((await read(session, 1)).status).toBe(401)
  expect((await read(next, 1)).status).toBe(200)
})

type Used = { last_used_at: Date; idle_expires_at: Date }

const usedAt = async (): Promise<Used | undefined> => {
  const [row] = await asOwner<Used>(
    'SELECT last_used_at, idle_expires_at FROM sessions WHERE id = $1',
    [Buffer.from(handleFields(session).sessionId, 'base64url')],
  )
  return row
}

const writeUses = () =>
  Promise.all(cardea.instances.map(({ core }) => core.cookieSessions.uses.write()))

test('the idle expiry slides with uses, written together and at most once a minute over all instances', async () => {
  const before = await usedAt()
  clock.advance(59_999)
  await read()
  await writeUses()
  expect(await usedAt()).toEqual(before)
  clock.advance(1)
  counter.take()
  for (let round = 0; round < 10; round += 1) await read(session, round % 2)
  counter.take()
  await writeUses()
  const after = await usedAt()
  expect(after?.last_used_at.getTime()).toBe(clock.nowMs())
  expect(after?.idle_expires_at.getTime()).toBe(
    clock.nowMs() + cardea.config.sessionIdleSeconds * 1000,
  )
  // Both instances had noted it, one wrote; now neither has anything to write.
  expect(counter.take().Bind).toBeLessThanOrEqual(2)
  expect((await read()).body.session.last_used_at).toBe(after?.last_used_at.toISOString())
  await read(session, 1)
  counter.take()
  await writeUses()
  expect(counter.take().Bind).toBe(0)
})

test('a use that is noted after the end of a session wakes nothing', async () => {
  clock.advance(60_000)
  await read()
  await cardea.client.post('/logout', { session })
  const ended = await usedAt()
  await writeUses()
  expect(await usedAt()).toEqual(ended)
})
