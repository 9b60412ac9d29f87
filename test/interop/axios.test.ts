import axios, { type AxiosInstance } from 'axios'
import { wrapper } from 'axios-cookiejar-support'
import { CookieJar } from 'tough-cookie'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cardea, startCardea } from '../support/service/cardea.ts'

/** axios as people use it: it sends no content type without a body, and writes `null` when it is given that. */

let cardea: Cardea

beforeAll(async () => {
  cardea = await startCardea()
})
afterAll(() => cardea.stop())

const newClient = (): { client: AxiosInstance; jar: CookieJar } => {
  const jar = new CookieJar()
  const client = axios.create({ baseURL: cardea.client.address, jar, validateStatus: null })
  return { client: wrapper(client), jar }
}

const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } })

test('logs in, refreshes by its cookie jar, lists and ends sessions, and logs out', async () => {
  const { client, jar } = newClient()
  const { email, password } = await cardea.createAccount()
  const login = await client.post('/login', { email: `${email} `, password })
  expect(login.status).toBe(200)
  const names = (await jar.getCookies(cardea.client.address)).map(({ key }) => key)
  expect(names.toSorted()).toEqual(['__Host-cardea-device', '__Host-cardea-refresh'])

  const refreshed = await client.post('/refresh', {})
  expect(refreshed.status).toBe(200)
  const again = await client.post('/refresh', null, {
    headers: { 'Content-Type': 'application/json' },
  })
  expect(again.status).toBe(200)
  const token: string = again.data.access_token

  const second = await cardea.client.logIn({ email, password })
  const { data } = await client.get('/sessions', bearer(token))
  expect(data.sessions).toHaveLength(2)
  const ended = await client.delete(`/sessions/${second.body.session_id}`, bearer(token))
  expect(ended.status).toBe(204)
  expect((await client.delete('/sessions?keep=current', bearer(token))).status).toBe(200)

  expect((await client.post('/logout', undefined, bearer(token))).status).toBe(204)
  expect(await jar.getCookies(cardea.client.address)).toMatchObject([
    { key: '__Host-cardea-device' },
  ])
  expect((await client.get('/account', bearer(token))).status).toBe(401)
})

test('R64: a POST that a form could send as well is told to say that it is JSON', async () => {
  const { client } = newClient()
  const { email, password } = await cardea.createAccount()
  await client.post('/login', { email, password })
  const untyped = await client.post('/refresh')
  expect(untyped).toMatchObject({ status: 415, data: { code: 'unsupported_media_type' } })
  expect((await client.post('/refresh', {})).status).toBe(200)
})

test('a cookie session opens the routes of people without a token', async () => {
  const { client } = newClient()
  const { email, password } = await cardea.createAccount()
  await client.post('/login', { email, password, session: 'cookie' })
  expect((await client.get('/account')).data).toMatchObject({ email })
  expect((await client.delete('/sessions')).data).toEqual({ ended: 1 })
  expect((await client.get('/account')).status).toBe(401)
})
