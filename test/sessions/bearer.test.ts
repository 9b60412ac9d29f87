import { afterAll, describe, expect, test } from 'vitest'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import { headerOf, verifiedClaims } from '../support/service/verified-claims.ts'

const audiences = ['https://a.example.com', 'https://b.example.com']

const cardea = await startCardea({ config: { audiences } })
afterAll(() => cardea.stop())

const logIn = async (more?: Readonly<Record<string, unknown>>) =>
  cardea.client.logIn(await cardea.createAccount(), more)

const account = (token?: string, path = '/account') =>
  cardea.client.get(path, token === undefined ? {} : { token })

test('R24: an access token is an at+jwt of 900 seconds, with a key id, all registered claims, the session and its epochs', async () => {
  const loggedIn = await cardea.createAccount(['reader'])
  const beforeSeconds = Math.floor(Date.now() / 1000)
  const { accessToken, body } = await cardea.client.logIn(loggedIn)
  const { keys } = (await cardea.client.get('/.well-known/jwks.json')).body
  const kid = expect.toBeOneOf(keys.map((key: { kid: string }) => key.kid))
  expect(headerOf(accessToken)).toEqual({ typ: 'at+jwt', alg: 'ES256', kid })
  const claims = await verifiedClaims(cardea, accessToken, { audience: 'https://a.example.com' })
  expect(claims).toEqual({
    iss: cardea.config.issuer,
    sub: loggedIn.id,
    aud: 'https://a.example.com',
    client_id: 'first-party',
    iat: expect.any(Number),
    exp: (claims.iat ?? 0) + 900,
    jti: expect.stringMatching(/^[\w-]{22}$/),
    sid: body.session_id,
    aep: [expect.any(Number), 0, 0],
    auth_time: expect.any(Number),
    amr: ['pwd'],
    acr: 'aal1',
    scope: 'account',
    roles: ['reader'],
  })
  expect(claims.iat).toBeGreaterThanOrEqual(beforeSeconds)
  expect(Buffer.from(claims.jti ?? '', 'base64url')).toHaveLength(16)
})

test('R34: a token holds nothing personal: not the address, nor any part of it', async () => {
  const person = await cardea.createAccount()
  const { accessToken } = await cardea.client.logIn(person)
  const decoded = accessToken
    .split('.')
    .slice(0, 2)
    .map((part) => Buffer.from(part, 'base64url').toString())
  const text = decoded.join('\n')
  expect(text).toContain(person.id)
  for (const word of [person.email, person.email.split('@')[0] ?? '']) {
    expect(text).not.toContain(word)
  }
})

test('R30: a token is for one audience, which another one refuses', async () => {
  const forA = await logIn({ audience: audiences[0] })
  const forB = await logIn({ audience: audiences[1] })
  const audienceOf = async (token: string, audience?: string) =>
    (await verifiedClaims(cardea, token, audience === undefined ? {} : { audience })).aud
  expect(await audienceOf(forA.accessToken, audiences[0])).toBe(audiences[0])
  expect(await audienceOf(forB.accessToken, audiences[1])).toBe(audiences[1])
  await expect(audienceOf(forA.accessToken, audiences[1])).rejects.toThrow('aud')
  await expect(audienceOf(forB.accessToken)).rejects.toThrow('aud')
})

describe('the routes of the account', () => {
  const routes = [
    ['GET', '/account'],
    ['GET', '/sessions'],
    ['DELETE', '/sessions/AAAAAAAAAAAAAAAAAAAAAA'],
    ['DELETE', '/sessions'],
    ['POST', '/logout'],
  ] as const

  const challenge = 'Bearer realm="cardea", error="insufficient_scope", scope="account"'

  test('R30: take no token that was made for another service by name: that service could have kept it', async () => {
    const { accessToken: token, refreshToken } = await logIn({ audience: audiences[1] })
    for (const [method, path] of routes) {
      const answer = await cardea.client.send(method, path, { token })
      expect(answer, path).toMatchObject({ status: 403, body: { code: 'insufficient_scope' } })
      expect(answer.body.detail, path).toMatch(/^The token lacks the audience \S+ or \S+\.$/)
      expect(answer.headers.get('www-authenticate'), path).toBe(challenge)
      expect(answer.headers.getSetCookie(), path).toEqual([])
    }
    const next = await cardea.client.refresh(refreshToken)
    expect(next.status).toBe(200)
    expect((await account(next.body.access_token)).status).toBe(403)
  })

  test('R30: take those of a login that names no audience, or the first one, or the issuer', async () => {
    for (const audience of [undefined, audiences[0], cardea.config.issuer]) {
      const { accessToken: token } = await logIn(audience === undefined ? {} : { audience })
      expect((await account(token)).status).toBe(200)
      expect((await account(token, '/sessions')).status).toBe(200)
      const ended = await cardea.client.send('DELETE', '/sessions', { token })
      expect([ended.status, ended.body]).toEqual([200, { ended: 1 }])
    }
  })

  test('R53: a logout by cookie or body works whatever audience its access token has, and the token ends no other session', async () => {
    const person = await cardea.createAccount()
    const kept = await cardea.client.logIn(person, { audience: audiences[1] })
    for (const delivery of ['cookie', 'body']) {
      const other = await cardea.client.logIn(person, { audience: audiences[1], delivery })
      const { refreshToken } = other
      const handle =
        delivery === 'cookie' ? { handle: refreshToken } : { body: { refresh_token: refreshToken } }
      const answer = await cardea.client.post('/logout', { ...handle, token: kept.accessToken })
      expect(answer.status).toBe(204)
    }
    const { body } = await cardea.client.logIn(person)
    const { sessions } = (await account(body.access_token, '/sessions')).body
    const ids = sessions.map(({ id }: { id: string }) => id)
    expect(ids.toSorted()).toEqual([kept.body.session_id, body.session_id].toSorted())
  })

  test('R30: a session cookie opens them whatever audience its session has: no service ever holds one', async () => {
    const { email, password } = await cardea.createAccount()
    const body = { email, password, session: 'cookie', audience: audiences[1] }
    const { sessionCookie: session = '' } = await cardea.client.post('/login', { body })
    for (const path of ['/account', '/sessions']) {
      expect((await cardea.client.get(path, { session })).status).toBe(200)
    }
    expect((await cardea.client.send('DELETE', '/sessions', { session })).body).toEqual({
      ended: 1,
    })
  })
})

test('R35: a token in a query, a body or a cookie is no credential', async () => {
  const { accessToken } = await logIn()
  expect((await account(accessToken)).status).toBe(200)
  const query = await account(undefined, `/account?access_token=${accessToken}`)
  const cookie = await cardea.client.get('/account', {
    headers: { cookie: `access_token=${accessToken}; Authorization=Bearer ${accessToken}` },
  })
  const body = await cardea.client.send('DELETE', '/sessions', {
    body: { access_token: accessToken },
  })
  for (const answer of [query, cookie, body]) {
    expect(answer).toMatchObject({ status: 401, body: { code: 'missing_token' } })
  }
  const form = await cardea.client.send('DELETE', '/sessions', {
    body: `access_token=${accessToken}`,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  expect(form.status).toBe(415)
  expect((await account(accessToken)).status).toBe(200)
})

test('R100: no credential, a bad one and one that is not enough are told apart in the challenge', async () => {
  const { accessToken } = await logIn()
  const challengeOf = async (token?: string, path?: string) => {
    const answer = await account(token, path)
    return [answer.status, answer.headers.get('www-authenticate')]
  }
  expect(await challengeOf()).toEqual([401, 'Bearer realm="cardea"'])
  const invalid = [401, 'Bearer realm="cardea", error="invalid_token"']
  expect(await challengeOf('a.b.c')).toEqual(invalid)
  expect(await challengeOf(`${accessToken.slice(0, -4)}AAAA`)).toEqual(invalid)
  const insufficient = [403, 'Bearer realm="cardea", error="insufficient_scope", scope="admin"']
  expect(await challengeOf(accessToken, '/admin/accounts')).toEqual(insufficient)
})

/** The other signature that the same key made: (r, n - s) verifies wherever (r, s) does. */
const malleated = (token: string): string => {
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  const [header = '', claims = '', signature = ''] = token.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  const s = BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  const other = (order - s).toString(16).padStart(64, '0')
  const changed = Buffer.concat([bytes.subarray(0, 32), Buffer.from(other, 'hex')])
  return [header, claims, changed.toString('base64url')].join('.')
}

test('R72: a revoked token stays revoked with its signature rewritten, and any other spelling of it is no token', async () => {
  const { accessToken } = await logIn()
  const other = malleated(accessToken)
  expect(other).not.toBe(accessToken)
  // Both verify: so it is not the text that may be looked up among what is revoked.
  expect((await account(accessToken)).status).toBe(200)
  expect((await account(other)).status).toBe(200)
  const spellings = [`${accessToken}=`, `${accessToken}==`, accessToken.replace('.', '=.')]
  for (const text of spellings) expect((await account(text)).status).toBe(401)
  const { jti } = await verifiedClaims(cardea, accessToken, { audience: 'https://a.example.com' })
  const token = await cardea.operatorToken()
  expect((await cardea.client.post('/admin/revoke', { token, body: { jti } })).status).toBe(200)
  for (const text of [accessToken, other, ...spellings]) {
    expect(await account(text)).toMatchObject({ status: 401, body: { code: 'invalid_token' } })
  }
})

// The last one here: it leaves the service without its feed.
test('R103: a check that breaks denies the request, is logged once, and the process goes on', async () => {
  const asOwner = sqlAs(cardea.stores.migrateUrl)
  const { accessToken } = await logIn()
  // Not fresh: each check is a statement then.
  await cardea.instances[0]!.core.revocations.replica.close()
  await asOwner('ALTER TABLE revocations RENAME COLUMN not_after TO moved')
  const linesBefore = cardea.log.length
  const broken = await account(accessToken)
  expect(broken).toMatchObject({ status: 500, body: { code: 'internal_error' } })
  expect(broken.headers.get('www-authenticate')).toBeNull()
  expect(broken.text).not.toContain('not_after')
  const lines = cardea.log.slice(linesBefore).map((line) => JSON.parse(line))
  const { request_id } = broken.body
  expect(lines).toMatchObject([{ level: 50, code: 'internal_error', request_id }])
  await asOwner('ALTER TABLE revocations RENAME COLUMN moved TO not_after')
  expect((await account(accessToken)).status).toBe(200)
})
