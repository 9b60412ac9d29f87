import { decodeProtectedHeader } from 'jose'
import { expect, onTestFinished, test, vi } from 'vitest'
import { startPostgres } from '../support/servers/postgres-server.ts'
import { type PostgresStandby, startStandby } from '../support/servers/postgres-standby.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startTcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'

const patience = { interval: 50 }

type Site = {
  readonly cardea: Cardea
  readonly standby: PostgresStandby
  readonly failOver: () => Promise<void>
}

/** Two processes over a primary with an asynchronous standby, behind an address that follows the primary. */
const openSite = async (revokeOnDataLoss: boolean): Promise<Site> => {
  const primary = await startPostgres({ autovacuum: 'off' })
  onTestFinished(primary.stop)
  const [owner, app] = [await startTcpProxy(primary.ownerUrl), await startTcpProxy(primary.appUrl)]
  onTestFinished(owner.stop)
  onTestFinished(app.stop)
  const database = {
    ownerUrl: owner.through(primary.ownerUrl),
    appUrl: app.through(primary.appUrl),
  }
  const config = { revokeOnDataLoss, refreshGraceSeconds: 0 }
  const cardea = await startCardea({ instances: 2, database, redisUrl: null, config })
  onTestFinished(cardea.stop)
  const standby = await startStandby(primary)
  onTestFinished(standby.stop)
  return {
    cardea,
    standby,
    failOver: async () => {
      await primary.kill()
      await standby.promote()
      for (const proxy of [owner, app]) {
        proxy.pointTo(standby.appUrl)
        proxy.cutAll()
      }
    },
  }
}

const received = async ({ cardea, standby }: Site): Promise<void> => {
  const count = (url: string) =>
    sqlAs(url)<{ id: number }>('SELECT max(id) AS id FROM audit_events')
  const [last] = await count(cardea.stores.migrateUrl)
  const hasIt = async () => (await count(standby.ownerUrl))[0]?.id === last?.id
  await vi.waitUntil(hasIt, patience)
}

const readiness = async (cardea: Cardea, index: number) =>
  (await cardea.clientOf(index).get('/health/ready')).body

const bothSay = async ({ cardea }: Site, data: string): Promise<void> => {
  for (const index of [0, 1]) {
    await vi.waitUntil(async () => (await readiness(cardea, index)).data === data, patience)
  }
}

const eventsOf = async (cardea: Cardea, name: string) =>
  sqlAs(cardea.stores.migrateUrl)<{ details: object }>(
    'SELECT details FROM audit_events WHERE event = $1',
    [name],
  )

const entriesFor = (cardea: Cardea, key: string) =>
  sqlAs(cardea.stores.migrateUrl)('SELECT FROM revocations WHERE key = $1', [key])

const sidOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sid

test('R76: after a fail-over that lost a logout and the revocation of an account, what was revoked stays dead, is appended again once, and the loss is told', async () => {
  const site = await openSite(false)
  const { cardea } = site
  const [leaving, revoked, staying, late] = (await Promise.all(
    Array.from({ length: 4 }, () => cardea.createAccount()),
  )) as [TestAccount, TestAccount, TestAccount, TestAccount]
  const [gone, dead, alive] = [
    await cardea.client.logIn(leaving, { delivery: 'body' }),
    await cardea.client.logIn(revoked, { delivery: 'body' }),
    await cardea.client.logIn(staying, { delivery: 'body' }),
  ]
  const operator = await cardea.operatorToken()
  await received(site)
  await site.standby.fallBehind()
  const lost = await cardea.client.logIn(late, { delivery: 'body' })
  const sid = sidOf(gone.accessToken)
  const logOut = await cardea.client.post('/logout', { body: { refresh_token: gone.refreshToken } })
  expect(logOut.status).toBeLessThan(300)
  const body = { sub: revoked.id, reason: 'stolen' }
  expect((await cardea.client.post('/admin/revoke', { token: operator, body })).status).toBe(200)
  const known = () =>
    cardea.instances.every(({ core }) =>
      [...core.revocations.replica.entries()].some(({ key }) => key === sid),
    )
  await vi.waitUntil(known, patience)

  await site.failOver()
  await bothSay(site, 'lost')
  for (const index of [0, 1]) {
    for (const token of [gone.refreshToken, dead.refreshToken]) {
      const answer = await cardea.clientOf(index).refreshByBody(token)
      expect(answer).toMatchObject({ status: 401, body: { code: 'session_ended' } })
    }
  }
  expect(await entriesFor(cardea, sid)).toHaveLength(1)
  expect(await entriesFor(cardea, revoked.id)).toHaveLength(1)
  // A login that begins after the revocation is none of what it meant.
  const again = await cardea.client.logIn(revoked, { delivery: 'body' })
  expect((await cardea.client.get('/account', { token: again.accessToken })).status).toBe(200)
  const kept = await cardea.client.refreshByBody(alive.refreshToken)
  expect(kept.status).toBe(200)
  // Nobody can bring back a session of which nothing is there.
  expect((await cardea.client.refreshByBody(lost.refreshToken)).status).toBe(401)
  expect(await eventsOf(cardea, 'data_lost')).toHaveLength(1)
  expect(await eventsOf(cardea, 'everyone_revoked')).toHaveLength(0)
  expect(await readiness(cardea, 0)).toMatchObject({ status: 'degraded', data: 'lost' })
  expect(cardea.log.join('\n')).toMatch(
    /Postgres has lost commits \(log [^)]+\): \d+ revocations were appended again; .*`cardea revoke --everyone` ends/,
  )

  const newOperator = await cardea.operatorToken()
  const everyone = { everyone: true, reason: 'commits were lost' }
  const answered = await cardea.client.post('/admin/revoke', { token: newOperator, body: everyone })
  expect(answered.status, answered.text).toBe(200)
  await bothSay(site, 'complete')
})

test('R79: signing keys whose revocation a fail-over lost are withdrawn again, once, and another key signs', async () => {
  const site = await openSite(false)
  const { cardea } = site
  const account = await cardea.createAccount()
  const old = await cardea.client.logIn(account, { delivery: 'body' })
  const operator = await cardea.operatorToken()
  await received(site)
  await site.standby.fallBehind()
  const [core] = cardea.instances.map((instance) => instance.core)
  if (!core) throw new Error('no instance')
  // The active key, the next one, and one that the standby never heard of.
  const revoked: string[] = []
  for (let turn = 0; turn < 3; turn += 1) {
    const { kid } = core.keys.signer()
    await core.revoke({ target: { kind: 'key', kid }, note: 'stolen', actor: { kind: 'system' } })
    revoked.push(kid)
  }
  expect(new Set(revoked).size).toBe(3)
  const known = () =>
    cardea.instances.every(({ core: { revocations } }) =>
      revoked.every((kid) => revocations.replica.isKeyRevoked(kid)),
    )
  await vi.waitUntil(known, patience)

  await site.failOver()
  await bothSay(site, 'lost')
  const [first = '', second = '', third = ''] = revoked
  const rows = await sqlAs(cardea.stores.migrateUrl)<{
    kid: string
    state: string
    sealed: boolean
  }>('SELECT kid, state, sealed_private IS NOT NULL AS sealed FROM signing_keys')
  const states = Object.fromEntries(rows.map(({ kid, state }) => [kid, state]))
  expect(states).toMatchObject({ [first]: 'gone', [second]: 'gone' })
  expect(states).not.toHaveProperty(third)
  expect(rows.filter(({ state, sealed }) => sealed === (state === 'gone'))).toEqual([])
  for (const kid of revoked) expect(await entriesFor(cardea, kid)).toHaveLength(1)
  // Of the third there was nothing to withdraw.
  const events = await eventsOf(cardea, 'signing_key_revoked')
  const kids = events.map(({ details }) => 'kid' in details && details.kid)
  expect(new Set(kids)).toEqual(new Set([first, second]))
  expect(kids).toHaveLength(2)
  const active = Object.keys(states).find((kid) => states[kid] === 'active')
  for (const index of [0, 1]) {
    const client = cardea.clientOf(index)
    for (const token of [old.accessToken, operator]) {
      expect((await client.get('/account', { token })).status).toBe(401)
    }
    const { accessToken } = await client.logIn(account, { delivery: 'body' })
    expect(decodeProtectedHeader(accessToken)).toMatchObject({ kid: active })
    expect((await client.get('/account', { token: accessToken })).status).toBe(200)
    const published = (await client.get('/.well-known/jwks.json')).body.keys
    expect(published.map(({ kid }: { kid: string }) => kid)).not.toContain(first)
  }
})

test('with REVOKE_ON_DATA_LOSS a login that was lost has everything revoked, once, although two processes see it', async () => {
  const site = await openSite(true)
  const { cardea } = site
  const [early, late] = [await cardea.createAccount(), await cardea.createAccount()]
  const before = await cardea.client.logIn(early, { delivery: 'body' })
  await received(site)
  await site.standby.fallBehind()
  // Each process loses something that it knows of.
  for (const index of [0, 1]) await cardea.clientOf(index).logIn(late, { delivery: 'body' })

  await site.failOver()
  await vi.waitUntil(
    async () => (await eventsOf(cardea, 'data_lost').catch(() => [])).length > 0,
    patience,
  )
  const refused = async () =>
    (await cardea.client.refreshByBody(before.refreshToken)).status === 401
  await vi.waitUntil(refused, patience)
  await bothSay(site, 'complete')
  for (const { core } of cardea.instances) await core.dataLoss.check()
  expect(await eventsOf(cardea, 'data_lost')).toHaveLength(1)
  expect(await eventsOf(cardea, 'everyone_revoked')).toHaveLength(1)
  const again = await cardea.client.logIn(early, { delivery: 'body' })
  expect((await cardea.client.get('/account', { token: again.accessToken })).status).toBe(200)
})

test('a fail-over that loses nothing is no loss', async () => {
  const site = await openSite(true)
  const { cardea } = site
  const account = await cardea.createAccount()
  const session = await cardea.client.logIn(account, { delivery: 'body' })
  await received(site)
  const before = cardea.instances.map(({ core }) => core.revocations.feedId())
  await site.failOver()
  for (const [index, { core }] of cardea.instances.entries()) {
    await vi.waitUntil(() => core.revocations.feedId() !== before[index], patience)
    await vi.waitFor(() => core.dataLoss.check(), patience)
    expect(await readiness(cardea, index)).toMatchObject({ data: 'complete' })
  }
  expect(await eventsOf(cardea, 'data_lost')).toHaveLength(0)
  expect((await cardea.client.refreshByBody(session.refreshToken)).status).toBe(200)
})
