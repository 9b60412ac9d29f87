import { afterAll, beforeAll, expect, test } from 'vitest'
import { keyLabels } from '../../src/keys/index.ts'
import {
  type Cardea,
  startCardea,
  type TestAccount,
  testPassword,
} from '../support/service/cardea.ts'
import { codecOf, handleFields } from '../support/service/handles.ts'

let cardea: Cardea

beforeAll(async () => {
  cardea = await startCardea({ instances: 2 })
})
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

type LoggedIn = { account: TestAccount; session: string; sessionId: string }

const admin = async (path: string, body: unknown, method = 'POST') => {
  const token = await cardea.operatorToken()
  const answer = await cardea.client.send(method, path, { token, body })
  expect(answer.status, answer.text).toBe(200)
}

const ends: Record<string, (one: LoggedIn) => Promise<unknown>> = {
  'logging out': ({ session }) => cardea.client.post('/logout', { session }),
  'deleting itself': ({ session, sessionId }) =>
    cardea.client.send('DELETE', `/sessions/${sessionId}`, { session }),
  'deleting all': ({ session }) => cardea.client.send('DELETE', '/sessions', { session }),
  'its owner from another session': async ({ account, sessionId }) => {
    const { accessToken } = await cardea.client.logIn(account)
    await cardea.client.send('DELETE', `/sessions/${sessionId}`, { token: accessToken })
  },
  'revoking the session': ({ sessionId }) => admin('/admin/revoke', { sid: sessionId }),
  'revoking the account': ({ account }) => admin('/admin/revoke', { sub: account.id }),
  'revoking the address': ({ account }) => admin('/admin/revoke', { email: account.email }),
  'disabling the account': ({ account }) =>
    admin(`/admin/accounts/${account.id}`, { status: 'disabled' }, 'PATCH'),
  'revoking everything': () => admin('/admin/revoke', { everyone: true }),
}

test.each(Object.keys(ends))(
  'R53 R55: %s ends a cookie session at once here, and within the bound elsewhere',
  async (how) => {
    const one = await logIn()
    await ends[how]?.(one)
    expect(await statusOn(0, one.session)).toBe(401)
    await expect.poll(() => statusOn(1, one.session)).toBe(401)
    const account = await cardea.clientOf(1).get('/account', { session: one.session })
    expect(account.status).toBe(401)
  },
)

test('R53: logging out clears the session cookie with its own attributes, and no cookie that was not presented', async () => {
  const { session } = await logIn()
  const answer = await cardea.client.post('/logout', { session })
  expect(answer.status).toBe(204)
  expect(answer.headers.getSetCookie()).toEqual([
    '__Host-cardea-session=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax',
  ])
  expect(answer.headers.get('clear-site-data')).toBeNull()
})

test('R53: logging out by the cookie of before a step-up ends the session, too', async () => {
  const { session } = await logIn()
  const body = { password: testPassword }
  const renewed = await cardea.client.post('/session/reauthenticate', { session, body })
  const newest = renewed.sessionCookie ?? ''
  expect(await statusOn(0, newest)).toBe(200)
  const answer = await cardea.client.post('/logout', { session })
  expect(answer).toMatchObject({ status: 204, sessionCookie: '' })
  expect(await statusOn(0, newest)).toBe(401)
  await expect.poll(() => statusOn(1, newest)).toBe(401)
})

test('R53: logging out by a cookie that is newer than the database ends the session that is left of it', async () => {
  const { session } = await logIn()
  const fields = handleFields(session)
  const codec = codecOf(cardea.stores.secrets, keyLabels.sessionHandle)
  // As after a fail-over that lost the commit of a step-up.
  const newer = codec.write({ ...fields, generation: fields.generation + 1 })
  const answer = await cardea.client.post('/logout', { session: newer })
  expect(answer).toMatchObject({ status: 204, sessionCookie: '' })
  expect(await statusOn(0, session)).toBe(401)
})

test('R53: a cookie that was made without the secret of its session logs nobody out', async () => {
  const { session } = await logIn()
  const codec = codecOf(cardea.stores.secrets, keyLabels.sessionHandle)
  const forged = codec.write({ ...handleFields(session), secret: Buffer.alloc(32) })
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
