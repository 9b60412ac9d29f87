import { afterAll, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/index.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { startTcpProxy } from '../support/servers/tcp-proxy.ts'
import { startCardea } from '../support/service/cardea.ts'
import { introspect, newServiceClient, postForm } from '../support/service/service-client.ts'

const { databaseConnectTimeoutMs, databaseStatementTimeoutMs } = loadConfig({})

const clock = fakeClock()
const database = await freshDatabase()
const proxy = await startTcpProxy(database.appUrl)
const throughProxy = { ...database, appUrl: proxy.through(database.appUrl) }
const cardea = await startCardea({
  clock,
  database: throughProxy,
  config: { databaseConnectTimeoutMs, databaseStatementTimeoutMs },
})
const shop = await newServiceClient(cardea)
const token = (await cardea.client.logIn(await cardea.createAccount())).accessToken
afterAll(async () => {
  await cardea.stop()
  await proxy.stop()
  await database.drop()
})

test('R46: while Postgres is away tokens are neither given nor taken back nor consumed: 503 with Retry-After, and afterwards all is as it was', async () => {
  const phone = await cardea.client.logIn(await cardea.createAccount(), { delivery: 'body' })
  const post = (
    path: string,
    parameters: Readonly<Record<string, string>>,
    authorization?: string,
  ) => postForm(cardea.client, path, authorization, parameters)
  const own = await post('/oauth/token', { grant_type: 'client_credentials' }, shop.authorization)
  const ownToken: string = own.body.access_token
  const refresh = { grant_type: 'refresh_token', refresh_token: phone.refreshToken }
  const asks = [
    () => post('/oauth/token', { grant_type: 'client_credentials' }, shop.authorization),
    () => post('/oauth/token', refresh),
    () => post('/oauth/revoke', { token: phone.refreshToken }),
    () => post('/oauth/revoke', { token: ownToken }, shop.authorization),
  ]
  proxy.slowDown({ toServerMs: 60_000 })
  for (const answer of await Promise.all(asks.map((ask) => ask()))) {
    expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(answer.headers.get('www-authenticate')).toBeNull()
  }
  proxy.slowDown({})
  proxy.cutAll()
  clock.advance(11_000)
  // Still the current generation: beyond the grace a consumed one would end the session.
  await expect.poll(async () => (await post('/oauth/token', refresh)).status).toBe(200)
  const { body } = await introspect(cardea.client, shop.authorization, { token: ownToken })
  expect(body.active).toBe(true)
})

test('R103: while Postgres is away a client that is not remembered is 503 without a challenge, never 401 and never let in', async () => {
  const ask = () => introspect(cardea.client, shop.authorization, { token })
  expect((await ask()).body).toMatchObject({ active: true })
  clock.advance(5_000)
  proxy.slowDown({ toServerMs: 60_000 })
  const answer = await ask()
  expect(answer).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
  expect(answer.headers.get('www-authenticate')).toBeNull()
  expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  proxy.slowDown({})
  proxy.cutAll()
  await expect
    .poll(async () => (await ask()).body)
    .toMatchObject({
      active: true,
    })
})
