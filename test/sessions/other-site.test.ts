import { afterAll, beforeEach, expect, test } from 'vitest'
import { startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { Answer, RequestOptions } from '../support/service/client.ts'
import { newServiceClient, postForm } from '../support/service/service-client.ts'

/** A single-page app on another site than the service, which lists it: everything but cookies. */

const app = 'https://app.example.net'
const from = { origin: app, 'sec-fetch-site': 'cross-site' }

let account: TestAccount
/** Cookies of another person, as if the browser sent them along. */
let planted: string

const cardea = await startCardea({ config: { allowedOrigins: [app] } })
afterAll(() => cardea.stop())
beforeEach(async () => {
  account = await cardea.createAccount()
  const other = await cardea.createAccount()
  const { refreshToken } = await cardea.client.logIn(other)
  const session = await cardea.client.logInForCookie(other)
  planted = `__Host-cardea-refresh=${refreshToken}; __Host-cardea-session=${session}; __Host-cardea-sealed=x`
})

/** As the app sends it, with cookies that must not count. No response may set one. */
const send = async (
  method: string,
  path: string,
  { headers, ...options }: RequestOptions = {},
): Promise<Answer> => {
  const answer = await cardea.client.send(method, path, {
    ...options,
    headers: { ...from, cookie: planted, ...headers },
  })
  expect(answer.headers.getSetCookie(), `${method} ${path}`).toEqual([])
  expect(answer.headers.get('access-control-allow-origin')).toBe(app)
  return answer
}

const logIn = async (more: object = { delivery: 'body' }) => {
  const { email, password } = account
  return send('POST', '/login', { body: { email, password, ...more } })
}

const newSession = async () => {
  const { status, body } = await logIn()
  expect(status).toBe(200)
  return { token: body.access_token, refreshToken: body.refresh_token, id: body.session_id }
}

/** Nobody whose cookies came along was logged out. */
const expectOthersUntouched = async () => {
  const own = (path: string, method = 'POST') =>
    cardea.client.send(method, path, { headers: { cookie: planted } })
  expect((await own('/session', 'GET')).status).toBe(200)
  expect((await own('/refresh')).status).toBe(200)
}

test('R62: logs in, refreshes, lists and ends sessions and logs out, and cookies count for nothing', async () => {
  const { token, refreshToken, id } = await newSession()
  const refreshed = await send('POST', '/refresh', { body: { refresh_token: refreshToken } })
  expect(refreshed).toMatchObject({ status: 200, body: { session_id: id } })
  expect((await send('GET', '/account', { token })).body).toMatchObject({ id: account.id })
  const other = await newSession()
  expect((await send('DELETE', `/sessions/${other.id}`, { token })).status).toBe(204)
  expect((await send('DELETE', `/sessions/${id}`, { token })).status).toBe(204)
  const third = await newSession()
  expect((await send('DELETE', '/sessions', { token: third.token })).body).toEqual({ ended: 1 })
  await expectOthersUntouched()
})

test('R62: reads nothing by a cookie that a webview or an old browser sends along', async () => {
  const { token } = await newSession()
  for (const path of ['/session', '/sessions', '/account']) {
    const { status, body } = await send('GET', path)
    expect([401, 403], path).toContain(status)
    expect(JSON.stringify(body), path).not.toContain('@')
  }
  expect((await send('GET', '/account', { token })).status).toBe(200)
  expect((await send('GET', '/sessions', { token })).status).toBe(200)
  await expectOthersUntouched()
})

test('R53 R62: logs out by the token in the body, by the access token, or by both', async () => {
  for (const by of ['body', 'token', 'both']) {
    const { token, refreshToken } = await newSession()
    const answer = await send('POST', '/logout', {
      ...(by !== 'token' && { body: { refresh_token: refreshToken } }),
      ...(by !== 'body' && { token }),
    })
    expect(answer.status, by).toBe(204)
    expect((await cardea.client.refreshByBody(refreshToken)).status).toBe(401)
    expect((await send('POST', '/logout', { token })).status).toBe(401)
  }
  await expectOthersUntouched()
})

test('R62: uses every route of OAuth', async () => {
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const { refreshToken } = await newSession()
  const body = String(
    new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken }),
  )
  const refreshed = await send('POST', '/oauth/token', { headers: form, body })
  expect(refreshed.status).toBe(200)
  const token = `token=${refreshed.body.refresh_token}`
  expect((await send('POST', '/oauth/revoke', { headers: form, body: token })).status).toBe(200)
  const { authorization } = await newServiceClient(cardea)
  const asked = { headers: { ...form, authorization }, body: token }
  expect((await send('POST', '/oauth/introspect', asked)).body).toEqual({ active: false })
  // A cookie is no credential there, whoever sends it.
  const byCookie = await postForm(cardea.client, '/oauth/token', undefined, {
    grant_type: 'refresh_token',
  })
  expect(byCookie.status).toBe(400)
})

test('R62: uses the admin API', async () => {
  const token = await cardea.operatorToken()
  const revoked = await send('POST', '/admin/revoke', { token, body: { sub: account.id } })
  expect(revoked.status).toBe(200)
})

test('R62: what would need a cookie is refused with a code of its own before anything happens', async () => {
  const needCookies: readonly (readonly [string, string, RequestOptions?])[] = [
    ['POST', '/refresh'],
    ['POST', '/logout'],
    ['DELETE', '/sessions'],
    ['PUT', '/session/data', { body: {}, headers: { 'if-match': '*' } }],
    ['POST', '/session/reauthenticate', { body: { password: account.password } }],
  ]
  for (const [method, path, options] of needCookies) {
    const answer = await send(method, path, options)
    expect(answer, path).toMatchObject({ status: 403, body: { code: 'cross_site_origin' } })
  }
  const before = await cardea.client.logIn(account)
  for (const kind of [{}, { delivery: 'cookie' }, { session: 'cookie' }, { session: 'sealed' }]) {
    expect(await logIn(kind)).toMatchObject({ status: 403, body: { code: 'cross_site_origin' } })
    const wrong = await logIn({ ...kind, password: 'wrong' })
    expect(wrong).toMatchObject({ status: 403, body: { code: 'cross_site_origin' } })
  }
  const { sessions } = (await cardea.client.get('/sessions', { token: before.accessToken })).body
  expect(sessions).toHaveLength(1)
  await expectOthersUntouched()
})

test('R62: the form of the login page is not for it', async () => {
  const answer = await cardea.client.post('/login/form', {
    headers: { ...from, 'content-type': 'application/x-www-form-urlencoded' },
    body: `email=${account.email}&password=${account.password}`,
  })
  expect(answer.status).toBe(403)
  expect(answer.headers.getSetCookie()).toEqual([])
})
