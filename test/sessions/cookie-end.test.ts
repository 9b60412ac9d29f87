import { afterAll, expect, test } from 'vitest'
import { keyLabels } from '../../src/keys/index.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea, type TestAccount, testPassword } from '../support/service/cardea.ts'
import { codecOf, handleFields } from '../support/service/handles.ts'

const clock = fakeClock()
const cardea = await startCardea({ clock, instances: 2 })
afterAll(() => cardea.stop())

const logIn = async () => {
  const account = await cardea.createAccount()
  const session = await cardea.client.logInForCookie(account)
  // Both instances and the cache know it.
  expect(await statusOn(0, session)).toBe(200)
  expect(await statusOn(1, session)).toBe(200)
  return { account, session, sessionId: handleFields(session).sessionId }
}

const statusOn = async (instance: number, session: string) =>
  (await cardea.clientOf(instance).get('/session', { session })).status

/** What the owner of a cookie is told at these paths; the cookie is never taken away. */
const expectEnded = async (
  session: string,
  reason: string | undefined,
  paths = ['/session', '/account'],
) => {
  for (const path of paths) {
    const { status, body, sessionCookie } = await cardea.client.get(path, { session })
    const { code } = body
    expect({ status, code, reason: body.reason, sessionCookie }, path).toEqual({
      status: 401,
      code: 'invalid_session',
      reason,
      sessionCookie: undefined,
    })
  }
}

/** The handle of this cookie in another generation, or made without its secret. */
const altered = (session: string, changes: { secret?: Buffer; generationBy?: number }) => {
  const { generationBy = 0, ...rest } = changes
  const fields = handleFields(session)
  const codec = codecOf(cardea.stores.secrets, keyLabels.sessionHandle)
  return codec.write({ ...fields, generation: fields.generation + generationBy, ...rest })
}

const stepUp = async (session: string): Promise<string> => {
  const body = { password: testPassword }
  const renewed = await cardea.client.post('/session/reauthenticate', { session, body })
  return renewed.sessionCookie ?? ''
}

const admin = async (path: string, body: unknown, method = 'POST') => {
  const token = await cardea.operatorToken()
  const answer = await cardea.client.send(method, path, { token, body })
  expect(answer.status, answer.text).toBe(200)
}

type LoggedIn = { account: TestAccount; session: string; sessionId: string }

const ends: readonly (readonly [string, string, (one: LoggedIn) => unknown])[] = [
  ['logging out', 'logout', ({ session }) => cardea.client.post('/logout', { session })],
  [
    'deleting itself',
    'revoked',
    ({ session, sessionId }) => cardea.client.send('DELETE', `/sessions/${sessionId}`, { session }),
  ],
  [
    'deleting all',
    'revoked',
    ({ session }) => cardea.client.send('DELETE', '/sessions', { session }),
  ],
  [
    'its owner from another session',
    'revoked',
    async ({ account, sessionId }) => {
      const { accessToken: token } = await cardea.client.logIn(account)
      await cardea.client.send('DELETE', `/sessions/${sessionId}`, { token })
    },
  ],
  [
    'logging in anew with it',
    'replaced',
    ({ account, session }) => cardea.client.logInForCookie(account, { session }),
  ],
  [
    'revoking the session',
    'revoked',
    ({ sessionId }) => admin('/admin/revoke', { sid: sessionId }),
  ],
  ['revoking the account', 'revoked', ({ account }) => admin('/admin/revoke', { sub: account.id })],
  [
    'revoking the address',
    'revoked',
    ({ account }) => admin('/admin/revoke', { email: account.email }),
  ],
  [
    'disabling the account',
    'account_disabled',
    ({ account }) => admin(`/admin/accounts/${account.id}`, { status: 'disabled' }, 'PATCH'),
  ],
  ['revoking everything', 'revoked', () => admin('/admin/revoke', { everyone: true })],
  ['the idle time', 'idle_expired', () => clock.advance(cardea.config.sessionIdleSeconds * 1000)],
  [
    'the absolute time',
    'absolute_expired',
    () => clock.advance(cardea.config.sessionAbsoluteSeconds * 1000),
  ],
]

test.each(ends)(
  'R53 R55: %s ends a cookie session at once here, whose cookie is told "%s", and within the bound elsewhere',
  async (_how, reason, end) => {
    const one = await logIn()
    await end(one)
    await expectEnded(one.session, reason)
    await expect.poll(() => statusOn(1, one.session)).toBe(401)
    const account = await cardea.clientOf(1).get('/account', { session: one.session })
    expect(account.status).toBe(401)
  },
)

test('the cookie of an account that was disabled in the database is told so', async () => {
  const account = await cardea.createAccount()
  const session = await cardea.client.logInForCookie(account)
  const disable = "UPDATE accounts SET status = 'disabled' WHERE email = $1"
  await sqlAs(cardea.stores.migrateUrl)(disable, [account.email])
  await expectEnded(session, 'account_disabled', ['/session'])
})

test('the cookie of before a used step-up is told nothing while the session goes on, and the end after it', async () => {
  const { session } = await logIn()
  const next = await stepUp(session)
  expect(await statusOn(0, next)).toBe(200)
  await expectEnded(session, undefined, ['/session'])
  await cardea.client.post('/logout', { session: next })
  await expectEnded(session, 'logout', ['/session'])
})

test('a cookie without the secret of the session is told nothing', async () => {
  const { session } = await logIn()
  await cardea.client.post('/logout', { session })
  await expectEnded(altered(session, { secret: Buffer.alloc(32) }), undefined, ['/session'])
  await expectEnded('made-up', undefined, ['/session'])
})

test('R53: logging out clears the session cookie with its own attributes, and no cookie that was not presented', async () => {
  const { session } = await logIn()
  const answer = await cardea.client.post('/logout', { session })
  expect(answer.status).toBe(204)
  expect(answer.headers.getSetCookie()).toEqual([
    '__Host-cardea-session=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax',
  ])
  expect(answer.headers.get('clear-site-data')).toBeNull()
})

test.each([
  ['of before a step-up', -1],
  ['that is newer than the database, as after a fail-over that lost a step-up,', 1],
])('R53: logging out by the cookie %s ends the session, too', async (_which, generationBy) => {
  const newest = await stepUp((await logIn()).session)
  expect(await statusOn(0, newest)).toBe(200)
  const answer = await cardea.client.post('/logout', { session: altered(newest, { generationBy }) })
  expect(answer).toMatchObject({ status: 204, sessionCookie: '' })
  expect(await statusOn(0, newest)).toBe(401)
  await expect.poll(() => statusOn(1, newest)).toBe(401)
})

test('R53: a cookie that was made without the secret of its session logs nobody out', async () => {
  const { session } = await logIn()
  const forged = altered(session, { secret: Buffer.alloc(32) })
  expect((await cardea.client.post('/logout', { session: forged })).status).toBe(204)
  expect(await statusOn(0, session)).toBe(200)
})

test('logging out with both cookies ends both sessions and clears both', async () => {
  const { account, session } = await logIn()
  const { refreshToken } = await cardea.client.logIn(account)
  const answer = await cardea.client.post('/logout', { session, handle: refreshToken })
  expect(answer).toMatchObject({ status: 204, refreshCookie: '', sessionCookie: '' })
  expect(await statusOn(0, session)).toBe(401)
  expect((await cardea.client.refresh(refreshToken)).body.reason).toBe('logout')
})

test('logging out twice, or by a cookie that is made up, is no error', async () => {
  const { session } = await logIn()
  for (const handle of [session, session, 'made-up']) {
    const answer = await cardea.client.post('/logout', { session: handle })
    expect(answer).toMatchObject({ status: 204, sessionCookie: '' })
  }
})

test('R62: a foreign page cannot log anybody out', async () => {
  const { session } = await logIn()
  const headers = { 'sec-fetch-site': 'cross-site' }
  expect((await cardea.client.post('/logout', { session, headers })).status).toBe(403)
  expect(await statusOn(0, session)).toBe(200)
})

test('R56: all sessions but the one that asks can be ended by cookie, of every kind', async () => {
  const { account, session } = await logIn()
  const other = await cardea.client.logInForCookie(account)
  const { refreshToken } = await cardea.client.logIn(account)
  const answer = await cardea.client.send('DELETE', '/sessions?keep=current', { session })
  expect(answer).toMatchObject({ status: 200, body: { ended: 2 }, sessionCookie: undefined })
  expect(await statusOn(0, session)).toBe(200)
  expect(await statusOn(0, other)).toBe(401)
  expect((await cardea.client.refresh(refreshToken)).status).toBe(401)
})

test('ending the session that asks clears its cookie and leaves that of another session alone', async () => {
  const { account, session, sessionId } = await logIn()
  const { accessToken } = await cardea.client.logIn(account)
  const path = `/sessions/${sessionId}`
  const byToken = await cardea.client.send('DELETE', path, { token: accessToken, session })
  expect(byToken).toMatchObject({ status: 204, sessionCookie: undefined })
  const own = await logIn()
  const answer = await cardea.client.send('DELETE', `/sessions/${own.sessionId}`, own)
  expect(answer).toMatchObject({ status: 204, sessionCookie: '', refreshCookie: undefined })
})

test('a role that an operator takes away is gone at the next look-up, and the session keeps its id', async () => {
  const account = await cardea.createAccount(['editor'])
  const session = await cardea.client.logInForCookie(account)
  const rolesOn = async (instance: number) =>
    (await cardea.clientOf(instance).get('/session', { session })).body.account.roles
  expect(await rolesOn(0)).toEqual(['editor'])
  expect(await rolesOn(1)).toEqual(['editor'])
  await admin(`/admin/accounts/${account.id}`, { roles: ['reader'] }, 'PATCH')
  expect(await rolesOn(0)).toEqual(['reader'])
  await expect.poll(() => rolesOn(1)).toEqual(['reader'])
})
