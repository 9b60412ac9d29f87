import { afterAll, describe, expect, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import type { RequestOptions } from '../support/service/client.ts'
import { basicHeader, newServiceClient, postForm } from '../support/service/service-client.ts'

const api = 'https://api.example.com'
const other = 'https://other.example.com'

const clock = fakeClock()
const config = { trustedProxies: ['127.0.0.1/32'], audiences: [api, other] }
const cardea = await startCardea({ clock, config })
const person = await cardea.createAccount()
afterAll(() => cardea.stop())

let sources = 0

/** Sends from an address of its own, and gives what the log says of it at `info`. */
const from = async (act: (headers: Record<string, string>) => Promise<unknown>) => {
  sources += 1
  const source = `198.51.100.${sources}`
  await act({ 'x-forwarded-for': source })
  return cardea.log
    .map((line) => JSON.parse(line))
    .filter((line) => line.event === 'authority_refused' && line.source === source)
}

const send = (method: string, path: string, options: RequestOptions = {}) => {
  const { headers: more, ...rest } = options
  return from((headers) =>
    cardea.client.send(method, path, { ...rest, headers: { ...headers, ...more } }),
  )
}

const form = (path: string, authorization: string | undefined, body: Record<string, string>) =>
  send('POST', path, {
    body: String(new URLSearchParams(body)),
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(authorization !== undefined && { authorization }),
    },
  })

/** The same token with another signature of the right length. */
const forged = (token: string): string => {
  const at = token.lastIndexOf('.') + 1
  return `${token.slice(0, at)}${token.at(at) === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`
}

describe('R112: a refusal of authority is one line at info, with its kind, its source and the route', () => {
  test('a wrong client secret, 21 times', async () => {
    const client = await newServiceClient(cardea)
    const wrong = basicHeader(
      client.clientId,
      client.clientSecret.replace(/./, (first) => (first === '_' ? '-' : '_')),
    )
    for (const path of ['/revocations/snapshot', '/oauth/introspect', '/oauth/token']) {
      const lines = await from(async (headers) => {
        for (let turn = 0; turn < 21; turn += 1) {
          const options = { headers: { ...headers, authorization: wrong } }
          const answer = path.startsWith('/oauth/')
            ? await cardea.client.post(path, {
                body: 'grant_type=client_credentials&token=x',
                headers: {
                  ...options.headers,
                  'content-type': 'application/x-www-form-urlencoded',
                },
              })
            : await cardea.client.get(path, options)
          expect(answer.status).toBe(401)
        }
      })
      expect(lines).toMatchObject([
        { level: 30, kind: 'invalid_client', route: expect.stringContaining(path) },
      ])
    }
    expect(cardea.log.join('')).not.toContain(client.clientSecret.slice(1))
  })

  test('a person at the routes of operators, with the account', async () => {
    const { accessToken } = await cardea.client.logIn(person, { audience: cardea.config.issuer })
    expect(await send('GET', '/admin/accounts', { token: accessToken })).toMatchObject([
      { kind: 'insufficient_scope', route: 'GET /admin/accounts', account: person.id },
    ])
  })

  test('a token for another service at the routes of the account', async () => {
    const { accessToken } = await cardea.client.logIn(person, { audience: other })
    for (const [method, path] of [
      ['GET', '/account'],
      ['POST', '/logout'],
    ] as const) {
      const lines = await send(method, path, { token: accessToken })
      expect(lines).toMatchObject([{ kind: 'insufficient_scope', route: `${method} ${path}` }])
    }
  })

  test('a forged token, with what was wrong with it and nothing of it', async () => {
    const { accessToken } = await cardea.client.logIn(person)
    for (const token of [forged(accessToken), 'made-up', 'e30.e30.e30']) {
      const [line, ...more] = await send('GET', '/account', { token })
      expect(line).toMatchObject({ kind: 'invalid_token', route: 'GET /account' })
      expect(more).toEqual([])
      expect(JSON.stringify(line)).not.toContain(token)
      const toProxy = await send('GET', '/forward-auth', { token })
      expect(toProxy).toMatchObject([{ kind: 'sign_in_required', why: expect.any(String) }])
    }
    const [line] = await send('GET', '/account', { token: forged(accessToken) })
    expect(line.why).toBe('signature verification failed')
  })

  test('a token that was revoked, because somebody still has it', async () => {
    const { accessToken, refreshToken } = await cardea.client.logIn(person)
    await cardea.client.post('/logout', { handle: refreshToken })
    expect(await send('GET', '/account', { token: accessToken })).toMatchObject([
      { kind: 'invalid_token', why: 'revoked by sid' },
    ])
  })

  test('a page of a foreign origin', async () => {
    const lines = await send('POST', '/refresh', { headers: { origin: 'https://evil.example' } })
    expect(lines).toMatchObject([{ kind: 'forbidden_origin', route: 'POST /refresh' }])
    const onForm = await send('POST', '/login/form', {
      headers: {
        origin: 'https://evil.example',
        'content-type': 'application/x-www-form-urlencoded',
      },
      body: 'email=a',
    })
    expect(onForm).toMatchObject([{ kind: 'forbidden_origin', route: 'POST /login/form' }])
  })

  test('a form of the login page that is not of this browser', async () => {
    const lines = await form('/login/form', undefined, { email: 'a@example.com', password: 'x' })
    expect(lines).toMatchObject([{ kind: 'form_expired' }])
  })

  test('a refresh token and a session cookie that were not made here', async () => {
    const session = await cardea.client.logInForCookie(person)
    const { refreshToken } = await cardea.client.logIn(person)
    const altered = (handle: string) => `${handle[0] === 'A' ? 'B' : 'A'}${handle.slice(1)}`
    expect(await send('POST', '/refresh', { handle: altered(refreshToken) })).toMatchObject([
      { kind: 'invalid_refresh_token' },
    ])
    expect(await send('GET', '/session', { session: altered(session) })).toMatchObject([
      { kind: 'invalid_session' },
    ])
    expect(await send('GET', '/forward-auth', { session: altered(session) })).toMatchObject([
      { kind: 'sign_in_required', why: 'the session cookie was not made here' },
    ])
  })

  test('a person without the role, or with a token for another service, at a proxy', async () => {
    const session = await cardea.client.logInForCookie(person)
    const why = `account ${person.id}`
    expect(await send('GET', '/forward-auth?role=staff', { session })).toMatchObject([
      { kind: 'role_required', why },
    ])
    const { accessToken: token } = await cardea.client.logIn(person, { audience: other })
    expect(await send('GET', `/forward-auth?audience=${api}`, { token })).toMatchObject([
      { kind: 'token_not_for_upstream', why },
    ])
  })

  test('a service that asks for more than it has, and a token shown by another client', async () => {
    const rights = { scopes: ['orders:read'], audiences: [api] }
    const { authorization } = await newServiceClient(cardea, undefined, rights)
    const grant = { grant_type: 'client_credentials' }
    const ask = (more: Record<string, string>) =>
      form('/oauth/token', authorization, { ...grant, ...more })
    expect(await ask({ scope: 'orders:delete' })).toMatchObject([{ kind: 'invalid_scope' }])
    expect(await ask({ resource: other })).toMatchObject([{ kind: 'invalid_target' }])
    const granted = await postForm(cardea.client, '/oauth/token', authorization, grant)
    const token: string = granted.body.access_token
    expect(await form('/oauth/revoke', undefined, { token })).toMatchObject([
      { kind: 'invalid_grant' },
    ])
    const { refreshToken } = await cardea.client.logIn(person)
    expect(await form('/oauth/revoke', undefined, { token: refreshToken })).toMatchObject([
      { kind: 'unsupported_token_type' },
    ])
  })
})

describe('what happens every day is no such line', () => {
  test('nothing was presented', async () => {
    for (const path of [
      '/account',
      '/session',
      '/admin/accounts',
      '/revocations',
      '/forward-auth',
    ]) {
      expect(await send('GET', path), path).toEqual([])
    }
    expect(await send('POST', '/refresh')).toEqual([])
    expect(await send('POST', '/logout')).toEqual([])
    expect(await form('/oauth/token', undefined, { grant_type: 'client_credentials' })).toEqual([])
  })

  test('a wrong password, which is in the audit trail', async () => {
    const body = { email: person.email, password: 'wrong wrong wrong' }
    expect(await send('POST', '/login', { body })).toEqual([])
  })

  test('a session that has ended, by cookie and by refresh token', async () => {
    const session = await cardea.client.logInForCookie(person)
    const { refreshToken } = await cardea.client.logIn(person)
    const native = await cardea.client.logIn(person, { delivery: 'body' })
    const end = `UPDATE sessions SET ended_at = now(), end_reason = 'revoked' WHERE account_id = $1 AND ended_at IS NULL`
    await sqlAs(cardea.stores.migrateUrl)(end, [Buffer.from(person.id, 'base64url')])
    clock.advance(120_000)
    expect(await send('POST', '/refresh', { handle: refreshToken })).toEqual([])
    expect(await send('GET', '/forward-auth', { session })).toEqual([])
    expect(await send('GET', '/session', { session })).toEqual([])
    const refresh = { grant_type: 'refresh_token', refresh_token: native.refreshToken }
    expect(await form('/oauth/token', undefined, refresh)).toEqual([])
  })

  test('an access token that has expired', async () => {
    const { accessToken: token } = await cardea.client.logIn(person)
    clock.advance(16 * 60_000)
    const refused = await cardea.client.get('/account', { token })
    expect(refused).toMatchObject({ status: 401, body: { code: 'invalid_token' } })
    expect(await send('GET', '/account', { token })).toEqual([])
    expect(await send('GET', '/forward-auth', { token })).toEqual([])
  })
})
