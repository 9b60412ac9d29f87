import { afterAll, beforeAll, expect, test } from 'vitest'
import { entryLifetimeMs, postgresRevocationPurge } from '../../src/revocation/index.ts'
import { type Cardea, startCardea } from '../support/cardea.ts'
import { type FakeClock, fakeClock } from '../support/fake-clock.ts'
import { sqlAs } from '../support/sql.ts'

let clock: FakeClock
let cardea: Cardea

beforeAll(async () => {
  clock = fakeClock()
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

  const lifetimeMs = entryLifetimeMs(cardea.config.accessTokenSeconds)
  const purge = postgresRevocationPurge(cardea.instances[0]!.core.database)
  clock.advance(lifetimeMs - 1)
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
