import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { startCardea } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import {
  basicHeader,
  newServiceClient,
  postForm,
  type TestServiceClient,
} from '../support/service/service-client.ts'

let orders: TestServiceClient

const cardea = await startCardea({ config: { logLevel: 'debug' } })
afterAll(() => cardea.stop())
beforeEach(async () => {
  orders = await newServiceClient(cardea, undefined, { scopes: ['orders:read'] })
})

type Form = Readonly<Record<string, string>>

const post = (path: string, form: Form, authorization?: string): Promise<Answer> =>
  postForm(cardea.client, path, authorization, form)

/** Every route that a service client may call with its secret in the form, and what else the form must say. */
const routes: Readonly<Record<string, Form>> = {
  '/oauth/token': { grant_type: 'client_credentials' },
  '/oauth/revoke': { token: 'x' },
  '/oauth/introspect': { token: 'x' },
}

const publicClient = 'first-party'

const secretOf = ({ clientId, clientSecret }: TestServiceClient) => ({
  client_id: clientId,
  client_secret: clientSecret,
})

const tokenOf = async (form: Form): Promise<string> => {
  const answer = await post('/oauth/token', { grant_type: 'client_credentials', ...form })
  expect(answer.status, answer.text).toBe(200)
  return answer.body.access_token
}

describe.each(Object.entries(routes))('POST %s', (path, form) => {
  test('R99: takes the secret in the form as it takes it in the header', async () => {
    const inForm = await post(path, { ...form, ...secretOf(orders) })
    const inHeader = await post(path, form, orders.authorization)
    expect([inForm.status, inHeader.status]).toEqual([200, 200])
    expect(inForm.headers.getSetCookie()).toEqual([])
  })

  test('R99: refuses a wrong secret, one of another client, and a client that nobody knows, all alike', async () => {
    const other = await newServiceClient(cardea)
    const wrong = [
      { client_id: orders.clientId, client_secret: 'x' },
      { client_id: orders.clientId, client_secret: other.clientSecret },
      { client_id: 'A'.repeat(22), client_secret: orders.clientSecret },
      { client_id: publicClient, client_secret: orders.clientSecret },
      { client_id: "' OR 1=1 --", client_secret: orders.clientSecret },
    ]
    const answers = await Promise.all(wrong.map((who) => post(path, { ...form, ...who })))
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
      expect(answer.headers.get('www-authenticate')).toBe('Basic realm="cardea", charset="UTF-8"')
    }
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
  })

  test('R99: refuses a secret without an id, an assertion, and two ways at once, although each would do', async () => {
    const { authorization } = orders
    const refused: readonly (readonly [Form, string?])[] = [
      [{ client_secret: orders.clientSecret }],
      [secretOf(orders), authorization],
      [secretOf(orders), basicHeader(orders.clientId, '')],
      [{ client_assertion: 'x', client_id: orders.clientId }],
      [{ client_assertion: 'x' }, authorization],
    ]
    for (const [who, header] of refused) {
      const answer = await post(path, { ...form, ...who }, header)
      expect(answer, JSON.stringify(who)).toMatchObject({
        status: 400,
        body: { error: 'invalid_request' },
      })
    }
    const other = await newServiceClient(cardea)
    const twoNames = await post(path, { ...form, client_id: other.clientId }, authorization)
    expect(twoNames).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
    const twice = `${new URLSearchParams({ ...form, ...secretOf(orders) })}&client_secret=x`
    expect((await postForm(cardea.client, path, undefined, twice)).status).toBe(400)
  })

  test('R99: a secret in the address counts for nothing', async () => {
    const query = new URLSearchParams(secretOf(orders))
    const { status } = await post(`${path}?${query}`, form)
    // Revoking needs no secret, since whoever has a token may revoke it.
    expect(status).toBe(path === '/oauth/revoke' ? 200 : 401)
  })
})

test('R69: a token of a service is revoked by the service alone, with its secret in the form', async () => {
  const token = await tokenOf(secretOf(orders))
  const stranger = await newServiceClient(cardea)
  const refused = await post('/oauth/revoke', { token, ...secretOf(stranger) })
  expect(refused).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  const named = await post('/oauth/revoke', { token, client_id: orders.clientId })
  expect(named).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
  const isActive = async () =>
    (await post('/oauth/introspect', { token, ...secretOf(orders) })).body.active
  expect(await isActive()).toBe(true)
  expect((await post('/oauth/revoke', { token, ...secretOf(orders) })).status).toBe(200)
  expect(await isActive()).toBe(false)
})

test('R80: the feed, which has no form, takes the header only', async () => {
  const query = new URLSearchParams(secretOf(orders))
  expect((await cardea.client.get(`/revocations/snapshot?${query}`)).status).toBe(401)
  const headers = { authorization: orders.authorization }
  expect((await cardea.client.get('/revocations/snapshot', { headers })).status).toBe(200)
})

describe('a public client', () => {
  const onPhone = async () =>
    cardea.client.logIn(await cardea.createAccount(), { delivery: 'body' })

  /** Libraries name it in the header with an empty secret, or in the form with or without one. */
  const ways: readonly (readonly [Form, string?])[] = [
    [{}],
    [{ client_id: publicClient }],
    [{ client_id: publicClient, client_secret: '' }],
    [{}, basicHeader(publicClient, '')],
    [{ client_id: publicClient }, basicHeader(publicClient, '')],
  ]

  test('R48: names itself in any of these ways, refreshes and revokes', async () => {
    let { refreshToken } = await onPhone()
    for (const [who, authorization] of ways) {
      const form = { grant_type: 'refresh_token', refresh_token: refreshToken, ...who }
      const answer = await post('/oauth/token', form, authorization)
      expect(answer.status, JSON.stringify([who, authorization])).toBe(200)
      refreshToken = answer.body.refresh_token
    }
    for (const [who, authorization] of ways) {
      const phone = await onPhone()
      const form = { token: phone.refreshToken, ...who }
      expect((await post('/oauth/revoke', form, authorization)).status).toBe(200)
      expect((await cardea.client.refreshByBody(phone.refreshToken)).status).toBe(401)
    }
  })

  test('R48: has no secret, is no service, and lends no service its tokens', async () => {
    const { refreshToken } = await onPhone()
    const refresh = { grant_type: 'refresh_token', refresh_token: refreshToken }
    const refused = [
      [basicHeader(publicClient, 'x'), 401, 'invalid_client'],
      [basicHeader(orders.clientId, ''), 400, 'invalid_grant'],
      [basicHeader('', ''), 400, 'invalid_grant'],
      [orders.authorization, 400, 'invalid_grant'],
    ] as const
    for (const [authorization, status, error] of refused) {
      const answer = await post('/oauth/token', refresh, authorization)
      expect(answer).toMatchObject({ status, body: { error } })
    }
    const inForm = await post('/oauth/token', { ...refresh, ...secretOf(orders) })
    expect(inForm).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    for (const [who, authorization] of ways) {
      for (const path of ['/oauth/token', '/oauth/introspect']) {
        const answer = await post(path, { ...routes[path], ...who }, authorization)
        expect(answer).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
      }
    }
    expect((await cardea.client.refreshByBody(refreshToken)).status).toBe(200)
  })
})

test('R113: a secret in a form is in no line of the log, right or wrong', async () => {
  for (const [path, form] of Object.entries(routes)) {
    await post(path, { ...form, ...secretOf(orders) })
    await post(path, { ...form, client_id: orders.clientId, client_secret: 'a-wrong-secret' })
    await post(path, { ...form, ...secretOf(orders) }, orders.authorization)
  }
  const log = cardea.log.join('')
  expect(log).toContain('invalid_client')
  for (const secret of [orders.clientSecret, 'a-wrong-secret']) expect(log).not.toContain(secret)
})
