import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { entryLifetimeMs, postgresRevocationPurge } from '../../src/revocation/index.ts'
import { type FakeClock, pastClock } from '../support/clocks/fake-clock.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'

let clock: FakeClock
let cardea: Cardea

beforeAll(async () => {
  clock = pastClock()
  cardea = await startCardea({ clock })
})
afterAll(() => cardea.stop())

const jtiOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).jti

test('I8: once the entries have ended and are dropped, nothing that they covered lives again', async () => {
  const operator = await cardea.operatorToken()
  const revoke = async (body: object) => {
    const answer = await cardea.client.post('/admin/revoke', { token: operator, body })
    expect(answer.status).toBe(200)
  }
  const [one, other] = [await cardea.createAccount(), await cardea.createAccount()]
  const byToken = await cardea.client.logIn(one)
  const bySession = await cardea.client.logIn(one)
  const byAccount = await cardea.client.logIn(other)
  await revoke({ jti: jtiOf(byToken.accessToken) })
  await revoke({ sid: bySession.body.session_id })
  await revoke({ sub: other.id })

  const purge = postgresRevocationPurge(cardea.instances[0]!.core.database)
  clock.advance(entryLifetimeMs - 1)
  expect(await purge.dropEnded(clock.nowMs(), 100)).toBe(0)
  clock.advance(2)
  expect(await purge.dropEnded(clock.nowMs(), 100)).toBe(3)
  expect(await sqlAs(cardea.stores.migrateUrl)('SELECT 1 FROM revocations')).toEqual([])

  for (const { accessToken } of [byToken, bySession, byAccount]) {
    expect((await cardea.client.get('/account', { token: accessToken })).status).toBe(401)
  }
  for (const { refreshToken } of [bySession, byAccount]) {
    expect((await cardea.client.refresh(refreshToken)).status).toBe(401)
  }
  // Only the token was taken back: its session goes on.
  expect((await cardea.client.refresh(byToken.refreshToken)).status).toBe(200)
})

describe('with instances that give their tokens lives of different lengths', () => {
  let database: FreshDatabase
  let long: Cardea
  let short: Cardea
  let time: FakeClock

  beforeAll(async () => {
    database = await freshDatabase()
    time = pastClock()
    long = await startCardea({ clock: time, database, config: { accessTokenSeconds: 900 } })
    short = await startCardea({ clock: time, database, config: { accessTokenSeconds: 60 } })
  })
  afterAll(async () => {
    await short.stop()
    await long.stop()
    await database.drop()
  })

  /** Of somebody who knows nothing but what the log says now. */
  const askNewcomer = async (token: string): Promise<number> => {
    const newcomer = await startCardea({ clock: time, database })
    try {
      return (await newcomer.client.get('/account', { token })).status
    } finally {
      await newcomer.stop()
    }
  }

  test('R78: what an instance of short-lived tokens revokes is kept for as long as any token lives', async () => {
    const account = await long.createAccount()
    const revoked = await long.client.logIn(account)
    const good = await long.client.logIn(account)
    const body = { jti: jtiOf(revoked.accessToken) }
    const answer = await short.client.post('/admin/revoke', {
      token: await short.operatorToken(),
      body,
    })
    expect(answer.status).toBe(200)

    const purge = postgresRevocationPurge(short.instances[0]!.core.database)
    // The last moment at which its own claims would let the token pass.
    time.advance(929_000)
    expect(await purge.dropEnded(time.nowMs(), 100)).toBe(0)
    expect(await askNewcomer(good.accessToken)).toBe(200)
    expect(await askNewcomer(revoked.accessToken)).toBe(401)

    time.advance(970_000 - 929_000)
    expect(await purge.dropEnded(time.nowMs(), 100)).toBe(0)
    time.advance(1)
    expect(await purge.dropEnded(time.nowMs(), 100)).toBe(1)
  })
})
