import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea, testPassword } from '../support/service/cardea.ts'
import { handleFields } from '../support/service/handles.ts'

let database: FreshDatabase
let proxy: TcpProxy
let cutOff: Cardea
let other: Cardea

beforeAll(async () => {
  const redisUrl = inject('redisUrl')
  // It stands still: whatever is refused here is not refused because a copy has become too old.
  const clock = fakeClock()
  database = await freshDatabase()
  proxy = await startTcpProxy(redisUrl)
  cutOff = await startCardea({ clock, database, redisUrl: proxy.through(redisUrl) })
  other = await startCardea({ clock, database, redisUrl })
})
afterAll(async () => {
  await cutOff.stop()
  await other.stop()
  await proxy.stop()
  await database.drop()
})

test('R52: the first use of a new handle at an instance that cannot reach Redis kills the old one within the bound where its copy lies', async () => {
  const session = await cutOff.client.logInForCookie(await cutOff.createAccount())
  const { sessionId } = handleFields(session)
  const look = async (handle: string) =>
    (await other.client.get('/session', { session: handle })).status
  const [copies] = other.instances.map(({ core }) => core.cookieSessions.cache)
  const copied = async () => {
    expect(await look(session)).toBe(200)
    return copies?.read(sessionId)
  }
  await expect.poll(copied).toBeDefined()
  const [ours] = cutOff.instances.map(({ core }) => core.cookieSessions.cache)
  proxy.pointTo('redis://127.0.0.1:1')
  proxy.cutAll()
  await expect.poll(() => ours?.isReady()).toBe(false)
  const body = { password: testPassword }
  const renewed = await cutOff.client.post('/session/reauthenticate', { session, body })
  expect(renewed.status).toBe(200)
  const next = renewed.sessionCookie ?? ''
  expect((await cutOff.client.get('/session', { session: next })).status).toBe(200)
  expect((await copies?.read(sessionId))?.session.generation).toBe(0)
  await expect.poll(() => look(session)).toBe(401)
  expect((await copies?.read(sessionId))?.session.generation).toBe(0)
  expect(await look(next)).toBe(200)
  expect(await look(session)).toBe(401)
})
