import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createApp } from '../../src/app.ts'
import { openCore } from '../../src/core.ts'
import { openLog } from '../../src/http/log.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import {
  type FreshDatabase,
  freshDatabase,
  startPostgres,
} from '../support/servers/postgres-server.ts'
import { isOfRequests, statementCounter } from '../support/servers/statement-counter.ts'
import { startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import { type Answer, httpClient } from '../support/service/client.ts'
import { retryWhileAway } from '../support/service/retry-while-away.ts'
import { newServiceClient } from '../support/service/service-client.ts'
import { whenRefused } from '../support/service/when-refused.ts'

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

const account = (cardea: Cardea, token: string, instance = 0): Promise<Answer> =>
  cardea.clientOf(instance).get('/account', { token })

const revoke = (cardea: Cardea, operator: string, body: object, instance = 0): Promise<Answer> =>
  cardea.clientOf(instance).post('/admin/revoke', { token: operator, body })

const replicaOf = (cardea: Cardea, index: number) =>
  cardea.instances[index]!.core.revocations.replica

describe('two instances', () => {
  let cardea: Cardea
  let operator: string
  let person: TestAccount

  beforeAll(async () => {
    cardea = await startCardea({ instances: 2 })
    operator = await cardea.operatorToken()
    person = await cardea.createAccount()
  })
  afterAll(() => cardea.stop())

  test.each(['jti', 'sid', 'sub'] as const)(
    'R73: what one revokes by %s it refuses when its answer is there, and the other within the bound',
    async (kind) => {
      for (const [here, there] of [
        [0, 1],
        [1, 0],
      ] as const) {
        const { accessToken } = await cardea.client.logIn(person)
        expect((await account(cardea, accessToken, here)).status).toBe(200)
        expect((await account(cardea, accessToken, there)).status).toBe(200)
        const body = { [kind]: claimsOf(accessToken)[kind] }
        expect((await revoke(cardea, operator, body, here)).status).toBe(200)
        const dead = await account(cardea, accessToken, here)
        expect(dead).toMatchObject({ status: 401, body: { code: 'invalid_token' } })
        await whenRefused(cardea.clientOf(there), accessToken)
      }
    },
  )

  test('R77: a login after the revocation of its account works on both at once', async () => {
    const before = await cardea.client.logIn(person)
    expect((await revoke(cardea, operator, { sub: person.id })).status).toBe(200)
    const after = await cardea.clientOf(1).logIn(person)
    for (const instance of [0, 1]) {
      expect((await account(cardea, after.accessToken, instance)).status).toBe(200)
    }
    await whenRefused(cardea.clientOf(1), before.accessToken)
    expect((await account(cardea, after.accessToken, 1)).status).toBe(200)
  })
})

describe('the check of a bearer', () => {
  let database: FreshDatabase
  let proxy: TcpProxy
  let cardea: Cardea
  let operator: string
  // A notice to the other processes follows the response to a revocation.
  const counter = statementCounter(
    (statement) => isOfRequests(statement) && statement !== 'revocation_notify',
  )

  beforeAll(async () => {
    database = await freshDatabase()
    proxy = await startTcpProxy(database.appUrl, counter.observe)
    cardea = await startCardea({
      database: { ownerUrl: database.ownerUrl, appUrl: proxy.through(database.appUrl) },
      redisUrl: null,
      instances: 2,
      config: { databasePoolSize: 1 },
    })
    operator = await cardea.operatorToken()
  })
  afterAll(async () => {
    await cardea.stop()
    await proxy.stop()
    await database.drop()
  })

  test('asks nobody while the replica is fresh: a token of a dead session reaches no statement, one that stands only what its route reads', async () => {
    const { accessToken } = await cardea.client.logIn(await cardea.createAccount())
    await account(cardea, accessToken)
    counter.take()
    for (let time = 0; time < 10; time += 1) await account(cardea, accessToken)
    expect(counter.take()).toEqual({ Parse: 0, Bind: 10, Execute: 10, Sync: 10, Query: 0 })
    await revoke(cardea, operator, { jti: claimsOf(accessToken).jti })
    counter.take()
    for (let time = 0; time < 10; time += 1) {
      expect((await account(cardea, accessToken)).status).toBe(401)
    }
    expect(counter.take().Execute).toBe(0)
  })

  test('asks Postgres while the replica cannot prove that it is complete, and refuses what another instance has just revoked', async () => {
    const person = await cardea.createAccount()
    await replicaOf(cardea, 1).close()
    expect(replicaOf(cardea, 1).state()).not.toBe('FRESH')
    for (const kind of ['jti', 'sid', 'sub'] as const) {
      const { accessToken } = await cardea.client.logIn(person)
      await account(cardea, accessToken, 1)
      counter.take()
      expect((await account(cardea, accessToken, 1)).status).toBe(200)
      // One more than the route's own.
      expect(counter.take()).toMatchObject({ Execute: 2, Sync: 2 })
      const claims = claimsOf(accessToken)
      expect((await revoke(cardea, operator, { [kind]: claims[kind] })).status).toBe(200)
      expect((await account(cardea, accessToken, 1)).status, kind).toBe(401)
    }
    const { accessToken } = await cardea.client.logIn(person)
    const { kid } = JSON.parse(Buffer.from(accessToken.split('.')[0] ?? '', 'base64url').toString())
    expect((await account(cardea, accessToken, 1)).status).toBe(200)
    await cardea.instances[0]!.core.inTransaction(({ revocations }) =>
      revocations.append({ target: { kind: 'kid', key: kid }, actor: 'test', reason: 'test' }),
    )
    expect((await account(cardea, accessToken, 1)).status, 'kid').toBe(401)
    expect((await account(cardea, accessToken, 0)).status, 'kid').toBe(401)
  })
})

test('a restart of Postgres: the replicas are fresh again by themselves, what was revoked before stays refused, and what is revoked afterwards is heard of', async () => {
  const postgres = await startPostgres()
  const cardea = await startCardea({ database: postgres, instances: 2, redisUrl: null })
  const person = await cardea.createAccount()
  const operator = await cardea.operatorToken()
  const [before, after, good] = [
    await cardea.client.logIn(person),
    await cardea.client.logIn(person),
    await cardea.client.logIn(person),
  ]
  const sid = (token: string) => ({ sid: claimsOf(token).sid })
  expect((await revoke(cardea, operator, sid(before.accessToken))).status).toBe(200)
  const { authorization } = await newServiceClient(cardea)
  const headers = { authorization }
  const feedOf = (path: string) => cardea.client.get(`/revocations${path}`, { headers })
  const { feed_id: feedId, cursor } = (await feedOf('/snapshot')).body

  await postgres.restart()
  const isFresh = () => {
    for (const index of [0, 1]) expect(replicaOf(cardea, index).state()).toBe('FRESH')
  }
  await vi.waitFor(isFresh)
  // The name of the log and cursors of before go on.
  const next = await retryWhileAway(() => feedOf(`?cursor=${cursor}`))
  expect(next).toMatchObject({ status: 200, body: { feed_id: feedId } })
  const revokeAfter = () => revoke(cardea, operator, sid(after.accessToken))
  expect((await retryWhileAway(revokeAfter)).status).toBe(200)
  for (const instance of [0, 1]) {
    await whenRefused(cardea.clientOf(instance), before.accessToken)
    await whenRefused(cardea.clientOf(instance), after.accessToken)
    const standing = () => account(cardea, good.accessToken, instance)
    expect((await retryWhileAway(standing)).status).toBe(200)
  }
  await cardea.stop()
  await postgres.stop()
})

test('R75: an instance that has not read yet what is revoked is not ready, asks Postgres for each token, and is ready once it has', async () => {
  const cardea = await startCardea({ redisUrl: null })
  const { accessToken } = await cardea.client.logIn(await cardea.createAccount())
  const revoked = await cardea.client.logIn(await cardea.createAccount())
  const operator = await cardea.operatorToken()
  await revoke(cardea, operator, { sid: claimsOf(revoked.accessToken).sid })
  const report = () => undefined
  const machine = { random: systemRandom, report, reportEnd: report }
  const core = await openCore(cardea.config, cardea.stores, machine)
  await core.machine.clock.start()
  const log = openLog({ logLevel: 'silent', logStream: { write: () => undefined } })
  const app = await createApp(core, log)
  const client = httpClient(await app.listen({ host: '127.0.0.1', port: 0 }))
  const statusOf = async (token: string) => (await client.get('/account', { token })).status

  expect(core.revocations.replica.state()).toBe('LOADING')
  const ready = () => client.get('/health/ready')
  expect(await ready()).toMatchObject({
    status: 503,
    body: { status: 'not_ready', stores: { postgres: 'ready' }, revocations: 'loading' },
  })
  expect([await statusOf(accessToken), await statusOf(revoked.accessToken)]).toEqual([200, 401])
  await core.revocations.start(AbortSignal.timeout(10_000))
  expect(await ready()).toMatchObject({
    status: 200,
    body: { status: 'ready', revocations: 'ready' },
  })
  expect([await statusOf(accessToken), await statusOf(revoked.accessToken)]).toEqual([200, 401])

  await core.revocations.stop()
  await app.close()
  await core.close()
  await cardea.stop()
})
