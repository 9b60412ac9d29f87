import { afterAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { auditPseudonym } from '../../src/audit/index.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import type { Answer, LoggedIn } from '../support/service/client.ts'
import {
  introspect,
  newServiceClient,
  postForm,
  type TestServiceClient,
} from '../support/service/service-client.ts'

const cardea = await startCardea({ instances: 2 })
const trail = auditEntries(cardea.stores.migrateUrl)
const orders = await newServiceClient(cardea)
afterAll(() => cardea.stop())
beforeEach(async () => {
  await trail()
})

const revoke = (
  parameters: Readonly<Record<string, string>> | string,
  authorization?: string,
  client = cardea.client,
) => postForm(client, '/oauth/revoke', authorization, parameters)

const onPhone = async (): Promise<LoggedIn> =>
  cardea.client.logIn(await cardea.createAccount(), { delivery: 'body' })

const inBrowser = async (): Promise<LoggedIn> => cardea.client.logIn(await cardea.createAccount())

const serviceToken = async (of: TestServiceClient = orders): Promise<string> => {
  const grant = { grant_type: 'client_credentials' }
  return (await postForm(cardea.client, '/oauth/token', of.authorization, grant)).body.access_token
}

const isActive = async (token: string, client = cardea.client): Promise<boolean> =>
  (await introspect(client, orders.authorization, { token })).body.active

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

const expectDone = (answer: Answer) => {
  expect([answer.status, answer.text]).toEqual([200, '{}'])
  expect(answer.headers.get('cache-control')).toBe('no-store')
}

const expectRefused = (answer: Answer, error: string, status = 400) =>
  expect(answer).toMatchObject({ status, body: { error } })

const events = async () =>
  (await trail()).map(({ event, actor, outcome }) => ({ event, actor, outcome }))

describe('a refresh token of a native app', () => {
  test('R69: ends its session, revokes the access tokens of it, and is recorded once however often it is sent', async () => {
    const { accessToken, refreshToken } = await onPhone()
    await trail()
    expectDone(await revoke({ token: refreshToken }))
    expect(await isActive(accessToken)).toBe(false)
    const refreshed = await cardea.client.refreshByBody(refreshToken)
    expect(refreshed).toMatchObject({ status: 401, body: { reason: 'logout' } })
    await vi.waitFor(async () =>
      expect(await isActive(accessToken, cardea.clientOf(1))).toBe(false),
    )
    const actor = `account:${claimsOf(accessToken).sub}`
    expectDone(await revoke({ token: refreshToken, token_type_hint: 'access_token' }))
    expectDone(await revoke({ token: refreshToken }, undefined, cardea.clientOf(1)))
    expect(await events()).toEqual([{ event: 'logout', actor, outcome: 'success' }])
  })

  test('R69: ends it in whatever generation it is, also fifty times at once over two instances', async () => {
    const { accessToken, refreshToken } = await onPhone()
    const next = await cardea.client.refreshByBody(refreshToken)
    await trail()
    const all = await Promise.all(
      Array.from({ length: 50 }, (_, turn) =>
        revoke({ token: refreshToken }, undefined, cardea.clientOf(turn % 2)),
      ),
    )
    for (const answer of all) expectDone(answer)
    expect((await events()).map(({ event }) => event)).toEqual(['logout'])
    expect((await cardea.client.refreshByBody(next.body.refresh_token)).status).toBe(401)
    expect(await isActive(accessToken)).toBe(false)
  })

  test('R69: is refused when a service shows it, and stays as good as it was', async () => {
    const { refreshToken } = await onPhone()
    expectRefused(await revoke({ token: refreshToken }, orders.authorization), 'invalid_grant')
    expect((await cardea.client.refreshByBody(refreshToken)).status).toBe(200)
  })
})

describe('an access token', () => {
  test('R69: of a service dies alone when the service shows it, recorded once, also fifty times at once over two instances', async () => {
    const [token, other] = [await serviceToken(), await serviceToken()]
    const all = await Promise.all(
      Array.from({ length: 50 }, (_, turn) =>
        revoke({ token }, orders.authorization, cardea.clientOf(turn % 2)),
      ),
    )
    for (const answer of all) expectDone(answer)
    const client = `client:${orders.clientId}`
    expect(await events()).toEqual([{ event: 'token_revoked', actor: client, outcome: 'success' }])
    expect([await isActive(token), await isActive(other)]).toEqual([false, true])
  })

  test('R69: of a person dies alone when whoever has it shows it: the session goes on', async () => {
    const { accessToken, refreshToken } = await onPhone()
    const { sub } = claimsOf(accessToken)
    await trail()
    expectDone(await revoke({ token: accessToken, client_id: 'first-party' }))
    expectDone(await revoke({ token: accessToken }))
    expect(await isActive(accessToken)).toBe(false)
    const [entry, ...more] = await trail()
    expect(entry).toMatchObject({ event: 'token_revoked', account: sub, reason: 'revoked' })
    expect(more).toEqual([])
    expect((await cardea.client.refreshByBody(refreshToken)).status).toBe(200)
  })

  test('R69: of another client is refused, and stays good', async () => {
    const stranger = await newServiceClient(cardea)
    const [mine, persons] = [await serviceToken(), (await onPhone()).accessToken]
    expectRefused(await revoke({ token: mine }, stranger.authorization), 'invalid_grant')
    expectRefused(await revoke({ token: mine }), 'invalid_grant')
    expectRefused(await revoke({ token: persons }, orders.authorization), 'invalid_grant')
    expect([await isActive(mine), await isActive(persons)]).toEqual([true, true])
  })
})

test('R69: what is unknown, malformed or dead is answered as if it had been revoked now, and nothing is recorded', async () => {
  const token = await serviceToken()
  const [header, claims, signature = ''] = token.split('.')
  expectDone(await revoke({ token }, orders.authorization))
  await trail()
  for (const dead of [
    token,
    'x',
    'a.b.c',
    'a.b.c.d.e',
    `${header}.${claims}.${signature.slice(2)}AA`,
    'A'.repeat(115),
    'x'.repeat(8_000),
  ]) {
    expectDone(await revoke({ token: dead }, orders.authorization))
    expectDone(await revoke({ token: dead }))
  }
  expect(await events()).toEqual([])
})

test('R69: what lives in a cookie is no token that is revoked here: unsupported_token_type, and it stays as good as it was', async () => {
  const { refreshToken } = await inBrowser()
  expectRefused(await revoke({ token: refreshToken }), 'unsupported_token_type')
  expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
  const account = await cardea.createAccount()
  const login = await cardea.client.post('/login', {
    body: { email: account.email, password: account.password, session: 'cookie' },
  })
  const [, cookie = ''] =
    /__Host-cardea-session=([\w-]+)/.exec(login.headers.getSetCookie().join()) ?? []
  expect(cookie).not.toBe('')
  expectRefused(await revoke({ token: cookie }), 'unsupported_token_type')
  const session = await cardea.client.get('/session', {
    headers: { cookie: `__Host-cardea-session=${cookie}` },
  })
  expect(session.status).toBe(200)
})

test('R99: wrong credentials, a name that is not proven and a broken form are refused in the words of OAuth', async () => {
  const token = await serviceToken()
  const wrong = await revoke({ token }, `Basic ${Buffer.from('a:b').toString('base64')}`)
  expectRefused(wrong, 'invalid_client', 401)
  expect(wrong.headers.get('www-authenticate')).toContain('Basic realm=')
  expectRefused(await revoke({ token, client_id: orders.clientId }), 'invalid_client', 401)
  for (const form of ['', 'token=', `token=${token}&token=${token}`, 'token=%00']) {
    expectRefused(await revoke(form, orders.authorization), 'invalid_request')
  }
  expect(await isActive(token)).toBe(true)
})

test('R112: the trail names the session only by its keyed hash', async () => {
  const { refreshToken, body } = await onPhone()
  await trail()
  await revoke({ token: refreshToken })
  const [entry] = await trail()
  expect(entry?.session_reference).toMatch(/^[\w-]{22}$/)
  expect(entry?.session_reference).not.toBe(body.session_id)
  expect(entry?.session_reference).not.toBe(auditPseudonym(Buffer.alloc(32))(body.session_id))
  expect(entry?.address).toBe('127.0.0.1')
})
