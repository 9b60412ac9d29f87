import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { loadConfig } from '../../src/config/index.ts'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import { type PostgresStandby, startStandby } from '../support/servers/postgres-standby.ts'
import { startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import {
  introspect,
  newServiceClient,
  type TestServiceClient,
} from '../support/service/service-client.ts'

const { databaseConnectTimeoutMs, databaseStatementTimeoutMs } = loadConfig({})

let primary: PostgresServer
let standby: PostgresStandby
let proxy: TcpProxy
let other: Cardea
let moved: Cardea
let service: TestServiceClient

beforeAll(async () => {
  primary = await startPostgres()
  proxy = await startTcpProxy(primary.appUrl)
  other = await startCardea({ database: primary, redisUrl: null })
  // Reaches Postgres through what a fail-over moves.
  moved = await startCardea({
    database: { ...primary, appUrl: proxy.through(primary.appUrl) },
    redisUrl: null,
    config: { databaseConnectTimeoutMs, databaseStatementTimeoutMs },
  })
  service = await newServiceClient(other)
})
afterAll(async () => {
  await moved.stop()
  await other.stop()
  await proxy.stop()
  await standby.stop()
  await primary.stop()
})

const scene = async () => {
  const account = await other.createAccount()
  const [bearer, cookie] = [
    await other.client.logIn(account),
    await other.client.logInForCookie(account),
  ]
  return { account, ...bearer, cookie }
}

type Scene = Awaited<ReturnType<typeof scene>>

/** Every kind of request that must not be served from a standby. */
const requests = ({ account, accessToken, refreshToken, cookie }: Scene) => {
  const { client } = moved
  const { email, password } = account
  const { authorization } = service
  return {
    account: () => client.get('/account', { token: accessToken }),
    'account by cookie': () => client.get('/account', { session: cookie }),
    session: () => client.get('/session', { session: cookie }),
    'forward-auth': () => client.get('/forward-auth', { token: accessToken }),
    'forward-auth by cookie': () => client.get('/forward-auth', { session: cookie }),
    introspection: () => introspect(client, authorization, { token: accessToken }),
    refresh: () => client.refresh(refreshToken),
    login: () => client.post('/login', { body: { email, password } }),
    feed: () => client.get('/revocations?cursor=1', { headers: { authorization } }),
    snapshot: () => client.get('/revocations/snapshot', { headers: { authorization } }),
  }
}

const expectAway = (name: string, answer: Answer): void => {
  expect(answer.status, name).toBe(503)
  expect(Number(answer.headers.get('retry-after')), name).toBeGreaterThan(0)
  expect(answer.headers.getSetCookie(), name).toEqual([])
  expect(answer.headers.get('www-authenticate'), name).toBeNull()
}

test('R73, R104: a process that a fail-over moved to a lagging standby serves nothing, says why it is not ready, and recovers by itself', async () => {
  const kept = await scene()
  const ended = await scene()
  standby = await startStandby(primary)
  await standby.fallBehind()
  proxy.pointTo(standby.appUrl)
  proxy.cutAll()
  expect((await other.client.post('/logout', { token: ended.accessToken })).status).toBe(204)
  expect((await other.client.post('/logout', { session: ended.cookie })).status).toBe(204)

  // Its replica may be FRESH for S; no longer than that a token is accepted without asking Postgres.
  const { 'forward-auth': passes } = requests(ended)
  await vi.waitFor(async () => expect((await passes()).status).toBe(503), {
    interval: 100,
  })
  for (const one of [ended, kept]) {
    for (const [name, send] of Object.entries(requests(one))) expectAway(name, await send())
  }
  // An answer may be a second old.
  await vi.waitFor(async () => {
    const ready = await moved.client.get('/health/ready')
    expect(ready.status).toBe(503)
    expect(ready.body).toMatchObject({ status: 'not_ready', stores: { postgres: 'not_primary' } })
  })

  // Nobody cuts the connections to the standby.
  proxy.pointTo(primary.appUrl)
  await vi.waitFor(async () =>
    expect((await moved.client.get('/health/ready')).body.status).toBe('ready'),
  )
  for (const [name, send] of Object.entries(requests(kept))) {
    await vi.waitFor(async () => expect((await send()).status, name).toBeLessThan(300))
  }
  const { account, session, 'forward-auth': forwardAuth, introspection, refresh } = requests(ended)
  for (const send of [account, session, forwardAuth, refresh]) {
    expect((await send()).status).toBe(401)
  }
  expect((await introspection()).body).toEqual({ active: false })
})
