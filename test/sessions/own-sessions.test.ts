import { afterAll, expect, onTestFinished, test } from 'vitest'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import type { LoggedIn } from '../support/service/client.ts'
import { handleFields } from '../support/service/handles.ts'

const clock = fakeClock()
const cardea = await startCardea({ clock })
afterAll(() => cardea.stop())

/** The same person on so many devices, logged in one second after the other. */
const devices = async (count: number): Promise<[LoggedIn, ...LoggedIn[]]> => {
  const account = await cardea.createAccount()
  const loggedIn: LoggedIn[] = []
  for (let device = 0; device < count; device += 1) {
    clock.advance(1_000)
    loggedIn.push(await cardea.client.logIn(account))
  }
  const [first, ...others] = loggedIn
  if (!first) throw new Error('no device')
  return [first, ...others]
}

const list = async ({ accessToken }: LoggedIn) => {
  const answer = await cardea.client.get('/sessions', { token: accessToken })
  expect(answer.status).toBe(200)
  return answer.body.sessions
}

const isAlive = async ({ accessToken, refreshToken }: LoggedIn): Promise<boolean> => {
  const account = await cardea.client.get('/account', { token: accessToken })
  const refreshed = await cardea.client.refresh(refreshToken)
  expect(refreshed.status).toBe(account.status)
  return account.status === 200
}

const end = (path: string, by: LoggedIn) =>
  cardea.client.send('DELETE', path, { token: by.accessToken })

test('R56: a person sees all their live sessions, last used first, without a secret', async () => {
  const account = await cardea.createAccount()
  const browser = await cardea.client.post('/login', {
    body: { email: account.email, password: account.password },
    headers: { 'user-agent': 'a browser' },
  })
  clock.advance(60_000)
  const phone = await cardea.client.logIn(account, { delivery: 'body' })
  clock.advance(60_000)
  await cardea.client.refresh(browser.refreshCookie ?? '')
  const answer = await cardea.client.get('/sessions', { token: phone.accessToken })
  const time = (ms: number) => new Date(ms).toISOString()
  const nowMs = clock.nowMs()
  expect(answer.body).toEqual({
    sessions: [
      {
        id: browser.body.session_id,
        current: false,
        kind: 'token',
        delivery: 'cookie',
        device: 'a browser',
        address: '127.0.0.1',
        created_at: time(nowMs - 120_000),
        last_used_at: time(nowMs),
        expires_at: time(nowMs + 14 * 86_400_000),
      },
      {
        id: phone.body.session_id,
        current: true,
        kind: 'token',
        delivery: 'body',
        device: expect.any(String),
        address: '127.0.0.1',
        created_at: time(nowMs - 60_000),
        last_used_at: time(nowMs - 60_000),
        expires_at: time(nowMs - 60_000 + 14 * 86_400_000),
      },
    ],
  })
  const { secret } = handleFields(phone.refreshToken)
  for (const encoding of ['hex', 'base64', 'base64url'] as const) {
    expect(answer.text).not.toContain(secret.toString(encoding))
  }
})

test('R56: any one of the sessions can be ended from any other, and only that one ends', async () => {
  const [phone, lost, laptop] = await devices(3)
  const trail = auditEntries(cardea.stores.migrateUrl)
  await trail()
  const answer = await end(`/sessions/${lost?.body.session_id}`, phone)
  expect(answer.status).toBe(204)
  expect(answer.headers.getSetCookie()).toEqual([])
  expect(await trail()).toMatchObject([{ event: 'session_ended', reason: 'revoked' }])
  expect(lost && (await isAlive(lost))).toBe(false)
  expect(await isAlive(phone)).toBe(true)
  expect(laptop && (await isAlive(laptop))).toBe(true)
  const again = await end(`/sessions/${lost?.body.session_id}`, phone)
  expect(again).toMatchObject({ status: 404, body: { code: 'session_not_found' } })
  expect(await list(phone)).toHaveLength(2)
  const own = await end(`/sessions/${phone.body.session_id}`, phone)
  expect(own).toMatchObject({ status: 204, refreshCookie: '' })
  expect(await isAlive(phone)).toBe(false)
})

test('R56: all sessions can be ended at once, or all but the one that asks', async () => {
  const [phone, laptop, tablet] = await devices(3)
  const spared = await end('/sessions?keep=current', phone)
  expect(spared).toMatchObject({ status: 200, body: { ended: 2 }, refreshCookie: undefined })
  expect(laptop && (await isAlive(laptop))).toBe(false)
  expect(tablet && (await isAlive(tablet))).toBe(false)
  expect(await isAlive(phone)).toBe(true)
  const all = await end('/sessions', phone)
  expect(all).toMatchObject({ status: 200, body: { ended: 1 }, refreshCookie: '' })
  expect(await isAlive(phone)).toBe(false)
})

test('nobody can see or end the sessions of somebody else', async () => {
  const [mine] = await devices(1)
  const [theirs] = await devices(2)
  const answer = await end(`/sessions/${theirs.body.session_id}`, mine)
  expect(answer).toMatchObject({ status: 404, body: { code: 'session_not_found' } })
  expect((await end(`/sessions/${newId(systemRandom)}`, mine)).status).toBe(404)
  await end('/sessions', mine)
  expect(await list(theirs)).toHaveLength(2)
  expect(await isAlive(theirs)).toBe(true)
})

test('sessions that ended or expired are not listed', async () => {
  const [first, second] = await devices(2)
  await cardea.client.post('/logout', { handle: second?.refreshToken ?? '' })
  expect(await list(first)).toHaveLength(1)
  clock.advance(14 * 86_400_000)
  const account = await cardea.createAccount()
  const fresh = await cardea.client.logIn(account)
  const token = await cardea.operatorToken()
  const seen = await cardea.client.get(`/admin/accounts/${account.id}/sessions`, { token })
  expect(seen.body.sessions).toHaveLength(1)
  expect(await list(fresh)).toHaveLength(1)
})

const hour = 3_600_000

/** Logged in on a device that is then left alone until it has been out of time for so long, while another one goes on. */
const expiredFor = async (ms: number) => {
  const account = await cardea.createAccount()
  const left = await cardea.client.logIn(account)
  clock.advance(cardea.config.sessionIdleSeconds * 1000 + ms)
  return { left, used: await cardea.client.logIn(account) }
}

test('R56: what expired long ago is not ended again, neither with the others nor by its id, and keeps its reason', async () => {
  const { left, used } = await expiredFor(hour)
  const trail = auditEntries(cardea.stores.migrateUrl)
  await trail()
  expect(await end(`/sessions/${left.body.session_id}`, used)).toMatchObject({
    status: 404,
    body: { code: 'session_not_found' },
  })
  const spared = await end('/sessions?keep=current', used)
  expect(spared).toMatchObject({ status: 200, body: { ended: 0 } })
  const operator = await cardea.operatorToken()
  await trail()
  const revoked = await cardea.client.post('/admin/revoke', {
    token: operator,
    body: { sid: left.body.session_id },
  })
  expect(revoked.status).toBe(200)
  expect(await trail()).toMatchObject([{ event: 'session_ended', reason: 'revoked' }])
  expect((await cardea.client.refresh(left.refreshToken)).body.reason).toBe('idle_expired')
})

test('R53: what has just expired is ended with the others: its last token may still be good', async () => {
  const small = await startCardea({ clock, config: { sessionIdleSeconds: 60 } })
  onTestFinished(() => small.stop())
  const account = await small.createAccount()
  const left = await small.client.logIn(account)
  clock.advance(60_000)
  const { accessToken: token } = await small.client.logIn(account)
  const isGood = async () =>
    (await small.client.get('/account', { token: left.accessToken })).status
  expect((await small.client.get('/sessions', { token })).body.sessions).toHaveLength(1)
  expect(await isGood()).toBe(200)
  const spared = await small.client.send('DELETE', '/sessions?keep=current', { token })
  expect(spared.body).toEqual({ ended: 1 })
  expect(await isGood()).toBe(401)
})

test('R56: what was revoked with everything is not ended again', async () => {
  const account = await cardea.createAccount()
  const before = await cardea.client.logIn(account)
  const operator = await cardea.operatorToken()
  await cardea.client.post('/admin/revoke', { token: operator, body: { everyone: true } })
  const after = await cardea.client.logIn(account)
  expect((await end(`/sessions/${before.body.session_id}`, after)).status).toBe(404)
  expect((await end('/sessions', after)).body).toEqual({ ended: 1 })
})

test('R121: an id that cannot be one, or an unknown way of keeping sessions, is refused with 400', async () => {
  const [phone] = await devices(1)
  const ids = ['x', `${newId(systemRandom)}A`, 'AAAAAAAAAAAAAAAAAAAAAB', '%00', '..%2F']
  for (const id of ids) expect((await end(`/sessions/${id}`, phone)).status, id).toBe(400)
  expect((await end('/sessions?keep=all', phone)).status).toBe(400)
  expect((await end('/sessions?keep=current&keep=current', phone)).status).toBe(400)
  expect((await end('/sessions?spare=current', phone)).status).toBe(400)
  expect(await isAlive(phone)).toBe(true)
})

test('R44: ending a session from a tab that is behind leaves the cookie of a newer login alone', async () => {
  const before = await cardea.client.logIn(await cardea.createAccount())
  const after = await cardea.client.logIn(await cardea.createAccount())
  // The tab still holds the token of the older login; the browser sends the cookie of the newer one.
  const behind = { token: before.accessToken, handle: after.refreshToken }
  const all = await cardea.client.send('DELETE', '/sessions?keep=current', behind)
  expect(all).toMatchObject({ status: 200, refreshCookie: undefined })
  const own = await cardea.client.send('DELETE', `/sessions/${before.body.session_id}`, behind)
  expect(own).toMatchObject({ status: 204, refreshCookie: undefined })
  expect((await cardea.client.get('/account', { token: before.accessToken })).status).toBe(401)
  expect((await cardea.client.refresh(after.refreshToken)).status).toBe(200)
})

test('R53: ending all sessions takes the cookie of the one that asks away, and no other', async () => {
  const before = await cardea.client.logIn(await cardea.createAccount())
  const after = await cardea.client.logIn(await cardea.createAccount())
  const behind = { token: before.accessToken, handle: after.refreshToken }
  const other = await cardea.client.send('DELETE', '/sessions', behind)
  expect(other).toMatchObject({ status: 200, body: { ended: 1 }, refreshCookie: undefined })
  const own = { token: after.accessToken, handle: after.refreshToken }
  expect(await cardea.client.send('DELETE', '/sessions', own)).toMatchObject({ refreshCookie: '' })
})
