import { afterAll, expect, test } from 'vitest'
import { pastClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'

const clock = pastClock()
const cardea = await startCardea({ clock, config: { sessionsPerAccount: 3 } })
afterAll(() => cardea.stop())

test('R56: beyond the cap the least recently used session ends, with its access tokens, and says why', async () => {
  const account = await cardea.createAccount()
  const logIn = async () => {
    clock.advance(1_000)
    return cardea.client.logIn(account)
  }
  const [oldest, middle] = [await logIn(), await logIn(), await logIn()]
  clock.advance(1_000)
  // Used now, so that it is not the one that was left alone longest.
  const kept = await cardea.client.refresh(oldest.refreshToken)
  const trail = auditEntries(cardea.stores.migrateUrl)
  await trail()
  const newest = await logIn()
  expect(await trail()).toMatchObject([
    { event: 'session_ended', reason: 'evicted', actor: 'system', account: account.id },
    { event: 'login_succeeded', account: account.id },
  ])
  const evicted = await cardea.client.refresh(middle?.refreshToken ?? '')
  expect(evicted.body).toMatchObject({ code: 'session_ended', reason: 'evicted' })
  const { status } = await cardea.client.get('/account', { token: middle?.accessToken ?? '' })
  expect(status).toBe(401)
  expect((await cardea.client.refresh(kept.refreshCookie ?? '')).status).toBe(200)
  const list = await cardea.client.get('/sessions', { token: newest.accessToken })
  expect(list.body.sessions).toHaveLength(3)
})

test('R56: the cap counts sessions of all kinds together, the least recently used ends first', async () => {
  const { client } = cardea
  const account = await cardea.createAccount()
  const oldest = await client.logInForCookie(account)
  clock.advance(1000)
  const token = await client.logIn(account)
  clock.advance(1000)
  const second = await client.logInForCookie(account)
  clock.advance(1000)
  const third = await client.logInForCookie(account)
  expect(await client.get('/session', { session: oldest })).toMatchObject({
    status: 401,
    body: { code: 'invalid_session', reason: 'evicted' },
  })
  clock.advance(1000)
  await client.logIn(account, { session: 'sealed' })
  expect((await client.refresh(token.refreshToken)).body.reason).toBe('evicted')
  expect((await client.get('/session', { session: second })).status).toBe(200)
  const list = await client.get('/sessions', { session: third })
  const kinds = list.body.sessions.map(({ kind }: { kind: string }) => kind)
  expect(kinds).toEqual(['sealed', 'cookie', 'cookie'])
})

test('R56: sessions that are over take no place', async () => {
  const account = await cardea.createAccount()
  const logIn = () => cardea.client.logIn(account)
  const first = await logIn()
  for (let turn = 0; turn < 4; turn += 1) {
    await cardea.client.post('/logout', { handle: (await logIn()).refreshToken })
  }
  expect((await cardea.client.refresh(first.refreshToken)).status).toBe(200)
})

test('R128: sessions past their absolute expiry are deleted by the role that the service has, in portions, and no others', async () => {
  const account = await cardea.createAccount()
  for (let turn = 0; turn < 3; turn += 1) await cardea.client.logIn(account)
  const [sessions] = cardea.instances.map(({ core }) => core.stores.sessions)
  clock.advance(30 * 86_400_000)
  await cardea.client.logIn(account)
  const portions: (number | undefined)[] = []
  do portions.push(await sessions?.dropExpired(clock.nowMs() + 1, 2))
  while (portions.at(-1) === 2)
  expect(portions.reduce<number>((sum, dropped) => sum + (dropped ?? 0), 0)).toBeGreaterThanOrEqual(
    3,
  )
  const query = 'SELECT account_id FROM sessions'
  const left = await sqlAs(cardea.stores.migrateUrl)<{ account_id: Buffer }>(query)
  expect(left.map(({ account_id: id }) => id.toString('base64url'))).toEqual([account.id])
})
