import { afterAll, expect, test } from 'vitest'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { codecOf, handleFields } from '../support/service/handles.ts'

const cardea = await startCardea()
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())

const logIn = async (delivery = 'cookie') =>
  cardea.client.logIn(await cardea.createAccount(), { delivery })

const expired = '__Host-cardea-refresh=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Strict'

const expectDead = async (handle: string, accessToken: string, refreshed?: Answer) => {
  const answer = refreshed ?? (await cardea.client.refresh(handle))
  expect(answer).toMatchObject({ status: 401, body: { code: 'session_ended', reason: 'logout' } })
  const account = await cardea.client.get('/account', { token: accessToken })
  expect(account).toMatchObject({ status: 401, body: { code: 'invalid_token' } })
}

test('R53: logging out by cookie ends the session and its access tokens at once, and takes the cookie away with the attributes it was set with', async () => {
  const { refreshToken, accessToken } = await logIn()
  await trail()
  const answer = await cardea.client.post('/logout', { handle: refreshToken })
  expect(answer.status).toBe(204)
  expect(answer.text).toBe('')
  const [line = ''] = answer.headers.getSetCookie()
  expect(line.split('; ').toSorted()).toEqual(expired.split('; ').toSorted())
  // It would delete what an app on this origin keeps, and with "cookies" log the person out of every app of the same registrable domain.
  expect(answer.headers.get('clear-site-data')).toBeNull()
  await expectDead(refreshToken, accessToken)
  expect(await trail()).toMatchObject([{ event: 'logout', outcome: 'success', reason: 'logout' }])
})

test('R53: logging out by access token does the same', async () => {
  const { refreshToken, accessToken } = await logIn()
  const answer = await cardea.client.post('/logout', { token: accessToken })
  expect(answer.status).toBe(204)
  expect(answer.refreshCookie).toBe('')
  await expectDead(refreshToken, accessToken)
})

test('R53: a native client logs out with the token in the body', async () => {
  const { refreshToken, accessToken } = await logIn('body')
  const answer = await cardea.client.post('/logout', { body: { refresh_token: refreshToken } })
  expect(answer.status).toBe(204)
  await expectDead(refreshToken, accessToken, await cardea.client.refreshByBody(refreshToken))
})

test('R53: an older handle logs out too: somebody wants this session to end', async () => {
  const { refreshToken } = await logIn()
  const newest = await cardea.client.refresh(refreshToken)
  expect((await cardea.client.post('/logout', { handle: refreshToken })).status).toBe(204)
  await expectDead(newest.refreshCookie ?? '', newest.body.access_token)
})

test('logging out twice, or of a session that never was, is a success and leaves one entry at most', async () => {
  const { refreshToken } = await logIn()
  await trail()
  for (let turn = 0; turn < 3; turn += 1) {
    expect((await cardea.client.post('/logout', { handle: refreshToken })).status).toBe(204)
  }
  expect((await cardea.client.post('/logout', { handle: 'made-up' })).status).toBe(204)
  expect(await trail()).toHaveLength(1)
})

test('a handle that was delivered the other way, or was made without the session secret, logs nobody out', async () => {
  const { refreshToken } = await logIn()
  await cardea.client.post('/logout', { body: { refresh_token: refreshToken } })
  const fields = handleFields(refreshToken)
  const forged = codecOf(cardea.stores.secrets).write({ ...fields, secret: Buffer.alloc(32) })
  await cardea.client.post('/logout', { handle: forged })
  expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
})

test('logging out with nothing to log out by is refused and touches no cookie', async () => {
  const answer = await cardea.client.post('/logout')
  expect(answer).toMatchObject({ status: 401, body: { code: 'missing_refresh_token' } })
  expect(answer.headers.getSetCookie()).toEqual([])
  // R100: a cookie route does not answer with a Bearer challenge.
  expect(answer.headers.get('www-authenticate')).toBeNull()
  expect((await cardea.client.post('/logout', { token: 'a.b.c' })).status).toBe(401)
})

test('R57: two refresh cookies log nobody out', async () => {
  const { refreshToken } = await logIn()
  const pair = `__Host-cardea-refresh=${refreshToken}`
  const answer = await cardea.client.post('/logout', { headers: { cookie: `${pair}; ${pair}` } })
  expect(answer).toMatchObject({ status: 400, body: { code: 'duplicate_cookie' } })
  expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
})

test('R67: logging out by GET is 405 and ends nothing', async () => {
  const { refreshToken, accessToken } = await logIn()
  const options = { handle: refreshToken, token: accessToken }
  for (const method of ['GET', 'HEAD', 'OPTIONS']) {
    const answer = await cardea.client.send(method, '/logout', options)
    expect(answer.status, method).toBe(405)
    expect(answer.headers.getSetCookie()).toEqual([])
  }
  expect((await cardea.client.get('/account', { token: accessToken })).status).toBe(200)
  expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
})
