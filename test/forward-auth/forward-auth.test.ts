import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { adminScope } from '../../src/sessions/index.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import type { Answer, RequestOptions } from '../support/service/client.ts'
import { returnsOf, returnTokenIn } from '../support/service/return-address.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'

const api = 'https://api.example.com'
const other = 'https://other.example.com'

const clock = fakeClock()
const config = { trustedProxies: ['127.0.0.1/32'], audiences: [api, other] }
const cardea = await startCardea({ clock, config })
afterAll(() => cardea.stop())

const ask = (options: RequestOptions = {}, query = ''): Promise<Answer> =>
  cardea.client.get(`/forward-auth${query}`, options)

const logIn = async (roles: readonly string[] = []) => {
  const account = await cardea.createAccount(roles)
  const session = await cardea.client.logInForCookie(account)
  return { account, session }
}

const identityHeaders = ['x-auth-account', 'x-auth-roles', 'x-auth-session', 'authorization']

const expectNobody = ({ headers }: Answer): void => {
  for (const name of identityHeaders) expect(headers.has(name), name).toBe(false)
}

const expectRefused = (answer: Answer, code: string): void => {
  expect(answer.status).toBe(401)
  expect(answer.body).toMatchObject({ code })
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('set-cookie')).toBeNull()
  expectNobody(answer)
}

/** Sent to the login page. */
const expectSignedOut = (answer: Answer, code = 'sign_in_required'): void => {
  expectRefused(answer, code)
  expect(returnTokenIn(answer.headers)).toBeTruthy()
}

/** Of who sent an \`Authorization\` header: no way to the login page, which would look at the cookie and send back. */
const expectTokenRefused = (answer: Answer, code = 'sign_in_required'): void => {
  expectRefused(answer, code)
  expect(answer.headers.has('location')).toBe(false)
}

const returnAddressIn = ({ headers }: Answer) =>
  returnsOf(cardea, clock).read(returnTokenIn(headers))

describe('who is logged in', () => {
  test('R58: by session cookie passes, with identity in headers, without a body, not to be stored', async () => {
    const { account, session } = await logIn(['editor', 'staff:eu'])
    const { body } = await cardea.client.get('/session', { session })
    for (const method of ['GET', 'HEAD']) {
      const answer = await cardea.client.send(method, '/forward-auth', { session })
      expect(answer.status).toBe(200)
      expect(answer.text).toBe('')
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        'x-auth-account': account.id,
        'x-auth-roles': 'editor,staff:eu',
        'x-auth-session': body.session.id,
        'cache-control': 'no-store',
        'content-length': '0',
      })
      expect(answer.headers.has('authorization')).toBe(false)
      expect(answer.headers.has('set-cookie')).toBe(false)
      expect(answer.headers.has('location')).toBe(false)
    }
  })

  test('by access token passes as the account of the token, whatever cookie comes with it', async () => {
    const account = await cardea.createAccount(['editor'])
    const { accessToken, body } = await cardea.client.logIn(account)
    const { session } = await logIn()
    const answer = await ask({ token: accessToken, session })
    expect(answer.status).toBe(200)
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-auth-account': account.id,
      'x-auth-roles': 'editor',
      'x-auth-session': body.session_id,
    })
  })

  test('has an empty list of roles when there are none', async () => {
    const { session } = await logIn()
    expect((await ask({ session })).headers.get('x-auth-roles')).toBe('')
  })
})

describe('who is not logged in', () => {
  test('R58 R100: without a credential is 401 with the way to the login page and a plain challenge', async () => {
    const answer = await ask()
    expectSignedOut(answer)
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="cardea"')
  })

  test('R58: a session that is made up, of another use, or ended never passes', async () => {
    const account = await cardea.createAccount()
    const { refreshToken } = await cardea.client.logIn(account)
    const { session } = await logIn()
    const altered = `${session.slice(0, -1)}${session.endsWith('A') ? 'E' : 'A'}`
    for (const made of ['', 'x', altered, refreshToken, `"${session}"`]) {
      expectSignedOut(await ask({ session: made }))
    }
    expect((await ask({ session })).status).toBe(200)
    await cardea.client.post('/logout', { session })
    const answer = await ask({ session })
    expectSignedOut(answer)
    expect(answer.headers.has('www-authenticate')).toBe(false)
  })

  test('R58: a session that an operator revoked, of a disabled account, or too long unused never passes', async () => {
    const token = await cardea.operatorToken()
    const revoked = await logIn()
    const disabled = await logIn()
    const unused = await logIn()
    const { body } = await cardea.client.get('/session', { session: revoked.session })
    const sid: string = body.session.id
    expect((await cardea.client.post('/admin/revoke', { token, body: { sid } })).status).toBe(200)
    expectSignedOut(await ask({ session: revoked.session }))
    const patch = { token, body: { status: 'disabled' } }
    await cardea.client.send('PATCH', `/admin/accounts/${disabled.account.id}`, patch)
    expectSignedOut(await ask({ session: disabled.session }))
    expect((await ask({ session: unused.session })).status).toBe(200)
    clock.advance(cardea.config.sessionIdleSeconds * 1000)
    expectSignedOut(await ask({ session: unused.session }))
  })

  test('a bad Authorization header is 401 whatever the cookie says, without a way to the login page', async () => {
    const account = await cardea.createAccount()
    const { accessToken } = await cardea.client.logIn(account)
    const { session } = await logIn()
    await cardea.client.post('/logout', { token: accessToken })
    const bad = [
      `Bearer ${accessToken}`,
      'Bearer x',
      'Bearer',
      '',
      `bearer ${'a'.repeat(4097)}`,
      'Basic dTpw',
      session,
    ]
    for (const authorization of bad) {
      const answer = await ask({ session, headers: { authorization, accept: 'text/html' } })
      expectTokenRefused(answer)
      const challenge = 'Bearer realm="cardea", error="invalid_token"'
      expect(answer.headers.get('www-authenticate'), authorization).toBe(challenge)
    }
  })

  test('two session cookies are refused: one of them was planted', async () => {
    const { session } = await logIn()
    const cookie = `__Host-cardea-session=${session}; __Host-cardea-session=${session}`
    const answer = await ask({ headers: { cookie } })
    expect(answer).toMatchObject({ status: 400, body: { code: 'duplicate_cookie' } })
    expectNobody(answer)
  })
})

describe('the login page', () => {
  const browser = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }

  test('is where people are sent at once, when the proxy asks for that', async () => {
    for (const session of [undefined, 'x']) {
      const answer = await ask({ headers: browser, ...(session && { session }) }, '?login=redirect')
      expect(answer.status).toBe(302)
      expect(answer.text).toBe('')
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(returnTokenIn(answer.headers)).toBeTruthy()
      expectNobody(answer)
    }
  })

  test('is not where programs are sent: they would take it for the answer', async () => {
    for (const accept of ['*/*', 'application/json', 'image/webp,*/*;q=0.8']) {
      expectSignedOut(await ask({ headers: { accept } }, '?login=redirect'))
    }
    const bad = { ...browser, authorization: 'Bearer x' }
    expectTokenRefused(await ask({ headers: bad }, '?login=redirect'))
  })

  test('leads back where one was, by the word of a trusted proxy', async () => {
    const answer = await ask({ headers: { 'x-forwarded-uri': '/reports?year=2026&a=b%20c' } })
    expectSignedOut(answer)
    expect(returnAddressIn(answer)).toMatchObject({
      address: '/reports?year=2026&a=b%20c',
      reauthenticates: false,
    })
  })

  test('never leads to another host, a script or a page of this service', async () => {
    const hosts = [
      '//evil.example/',
      'https://evil.example/',
      '/\\evil.example',
      '/%2Fevil.example',
    ]
    const others = ['javascript:alert(1)', '/login', '/forward-auth', `/${'a'.repeat(1024)}`]
    for (const uri of [...hosts, ...others]) {
      const answer = await ask({ headers: { 'x-forwarded-uri': uri } })
      expectSignedOut(answer)
      expect(returnAddressIn(answer)?.address, uri).toBe('/')
    }
  })
})

describe('the rules of a route', () => {
  test('any one of the roles is enough, none is 403 and never a way to the login page', async () => {
    const { session } = await logIn(['editor'])
    expect((await ask({ session }, '?role=editor')).status).toBe(200)
    expect((await ask({ session }, '?role=admin&role=editor')).status).toBe(200)
    for (const query of ['?role=admin', '?role=admin&role=edito', '?role=admin&login=redirect']) {
      const answer = await ask({ session, headers: { accept: 'text/html' } }, query)
      expect(answer).toMatchObject({ status: 403, body: { code: 'role_required' } })
      expect(answer.headers.has('location')).toBe(false)
      expectNobody(answer)
    }
    expectSignedOut(await ask({}, '?role=admin'))
  })

  test('a role that is taken away counts at the next request', async () => {
    const { account, session } = await logIn(['editor'])
    const token = await cardea.operatorToken()
    expect((await ask({ session }, '?role=editor')).status).toBe(200)
    const url = `/admin/accounts/${account.id}`
    expect((await cardea.client.send('PATCH', url, { token, body: { roles: [] } })).status).toBe(
      200,
    )
    expect((await ask({ session }, '?role=editor')).status).toBe(403)
  })

  test('a login that is too old is 401 with the way to log in again, and logging in again helps', async () => {
    const { account, session } = await logIn()
    clock.advance(60_000)
    expect((await ask({ session }, '?max_age=60')).status).toBe(200)
    clock.advance(1)
    const answer = await ask({ session }, '?max_age=60')
    expectSignedOut(answer, 'sign_in_too_old')
    expect(returnAddressIn(answer)).toMatchObject({ address: '/', reauthenticates: true })
    expect(answer.headers.has('www-authenticate')).toBe(false)
    expect((await ask({ session })).status).toBe(200)
    const again = await cardea.client.logInForCookie(account)
    expect((await ask({ session: again }, '?max_age=60')).status).toBe(200)
  })

  test('an access token is as old as its login, and the challenge says what is asked for', async () => {
    const account = await cardea.createAccount()
    const { accessToken: token } = await cardea.client.logIn(account)
    expect((await ask({ token }, '?max_age=60')).status).toBe(200)
    clock.advance(61_001)
    const answer = await ask({ token }, '?max_age=60')
    expectTokenRefused(answer, 'sign_in_too_old')
    const challenge =
      'Bearer realm="cardea", error="insufficient_user_authentication", max_age="60"'
    expect(answer.headers.get('www-authenticate')).toBe(challenge)
  })

  const mistakes = [
    'roles=editor|Role=editor|role=|role=Editor|role=a,b|role=editor&role=editor|role[]=editor',
    'max_age=|max_age=0|max_age=-1|max_age=60s|max_age=1e3|max_age=60&max_age=90|maxAge=60',
    `token=|token=true|token=1&token=1|audience=|audience=https://unknown.example.com`,
    `audience=${api}&audience=${other}|login=|login=yes|login=redirect&login=redirect`,
    'email=0|email=1&email=1|__proto__=x|x|=',
  ].flatMap((line) => line.split('|').map((query) => `?${query}`))

  test('a query with a mistake is 400, so that a mistake in a configuration opens no door', async () => {
    const { session } = await logIn(['editor'])
    for (const query of mistakes) {
      const answer = await ask({ session }, query)
      expect(answer.status, query).toBe(400)
      expectNobody(answer)
      expect(answer.headers.has('location'), query).toBe(false)
    }
  })
})

describe('the e-mail address for the service behind the proxy', () => {
  test('R34: is told where the question asks for it and nowhere else, to a session and to a token', async () => {
    const account = await cardea.createAccount()
    const session = await cardea.client.logInForCookie(account)
    const { accessToken: token } = await cardea.client.logIn(account, { audience: api })
    for (const credentials of [{ session }, { token }]) {
      const told = await ask(credentials, '?email=1')
      expect([told.status, told.headers.get('x-auth-email')]).toEqual([200, account.email])
      expect((await ask(credentials)).headers.has('x-auth-email')).toBe(false)
    }
    expect((await ask({}, '?email=1')).headers.has('x-auth-email')).toBe(false)
    const refused = await ask({ session }, '?email=1&role=none')
    expect([refused.status, refused.headers.has('x-auth-email')]).toEqual([403, false])
  })

  test('is written in UTF-8, whatever letters it has', async () => {
    const [instance] = cardea.instances
    const email = `ж-${Date.now()}-ünïcödé@example.com`
    const password = 'correct horse battery staple 7'
    const actor = { kind: 'system' } as const
    await instance?.core.createAccount({ email, password, roles: [], actor })
    const session = await cardea.client.logInForCookie({ email, password })
    const { headers } = await ask({ session }, '?email=1')
    const bytes = Buffer.from(headers.get('x-auth-email') ?? '', 'latin1')
    expect(bytes.toString('utf8')).toBe(email)
  })
})

describe('a token for the service behind the proxy', () => {
  const tokenIn = ({ headers }: Answer): string =>
    (headers.get('authorization') ?? '').replace(/^Bearer /, '')

  test('is made for the session, for the first audience or the one that is asked for', async () => {
    const { account, session } = await logIn(['editor'])
    const { body } = await cardea.client.get('/session', { session })
    const jtis = new Set<unknown>()
    for (const [query, audience] of [
      ['?token=1', api],
      [`?token=1&audience=${other}`, other],
    ] as const) {
      const answer = await ask({ session }, query)
      expect(answer.status).toBe(200)
      const claims = await verifiedClaims(cardea, tokenIn(answer), { audience, clock })
      expect(claims).toMatchObject({
        sub: account.id,
        sid: body.session.id,
        roles: ['editor'],
        scope: '',
        auth_time: Math.floor(Date.parse(body.session.auth_time) / 1000),
        amr: ['pwd'],
      })
      jtis.add(claims.jti)
    }
    expect(jtis.size).toBe(2)
  })

  test('is refused here once its session has ended', async () => {
    const { session } = await logIn()
    const token = tokenIn(await ask({ session }, '?token=1'))
    expect((await ask({ token })).status).toBe(200)
    await cardea.client.post('/logout', { session })
    expectTokenRefused(await ask({ token }))
  })

  test('R93: has no scope, and opens neither operator routes nor those of the account, whatever its audience', async () => {
    const account = await cardea.createAccount(['operator'])
    const body = { ...account, id: undefined, session: 'cookie', audience: cardea.config.issuer }
    const { sessionCookie: session = '' } = await cardea.client.post('/login', { body })
    const token = tokenIn(await ask({ session }, '?token=1'))
    const claims = await verifiedClaims(cardea, token, { audience: api, clock })
    expect(claims).toMatchObject({ roles: ['operator'], scope: '' })
    for (const [method, path] of [
      ['GET', '/admin/accounts'],
      ['GET', '/account'],
      ['GET', '/sessions'],
      ['DELETE', '/sessions'],
      ['POST', '/logout'],
    ] as const) {
      const answer = await cardea.client.send(method, path, { token })
      expect(answer, path).toMatchObject({ status: 403, body: { code: 'insufficient_scope' } })
    }
    expect((await ask({ session })).status).toBe(200)
  })

  test("is the client's own when it came with one, if that was made for this service", async () => {
    const account = await cardea.createAccount()
    const { accessToken: token } = await cardea.client.logIn(account)
    const answer = await ask({ token }, '?token=1')
    expect(answer.status).toBe(200)
    expect(tokenIn(answer)).toBe(token)
    expect((await ask({ token }, `?audience=${api}`)).status).toBe(200)
    for (const query of [`?token=1&audience=${other}`, `?audience=${other}`]) {
      const refused = await ask({ token }, query)
      expect(refused).toMatchObject({ status: 403, body: { code: 'token_not_for_upstream' } })
      expectNobody(refused)
      expect(refused.headers.has('location')).toBe(false)
    }
  })

  test("is never an operator's own", async () => {
    const config = { audiences: [cardea.config.issuer] }
    const single = await startCardea({ config })
    onTestFinished(() => single.stop())
    const token = await single.operatorToken()
    const { payload } = { payload: await verifiedClaims(single, token) }
    expect(payload.scope).toContain(adminScope)
    expect((await single.client.get('/forward-auth', { token })).status).toBe(200)
    const answer = await single.client.get('/forward-auth?token=1', { token })
    expect(answer).toMatchObject({ status: 403, body: { code: 'token_not_for_upstream' } })
    expectNobody(answer)
  })
})

/** What clients try on proxies that take a decision from it. */
const spoofed: readonly Readonly<Record<string, string>>[] = [
  { 'x-forwarded-uri': '/public/logo.svg' },
  { 'x-forwarded-uri': '/health/live' },
  { 'x-original-url': '/public', 'x-original-uri': '/public', 'x-rewrite-url': '/public' },
  { 'x-forwarded-method': 'OPTIONS' },
  { 'x-original-method': 'OPTIONS' },
  { 'x-http-method-override': 'OPTIONS' },
  { 'x-forwarded-host': 'internal.example' },
  { 'x-forwarded-for': '127.0.0.1' },
  { 'x-forwarded-for': '::1, 10.0.0.1' },
  { 'x-real-ip': '127.0.0.1' },
  { 'x-forwarded-proto': 'https' },
  { forwarded: 'for=127.0.0.1;host=localhost;proto=https' },
  { 'user-agent': 'kube-probe/1.30' },
  { 'user-agent': 'GoogleHC/1.0' },
  { 'user-agent': 'ELB-HealthChecker/2.0' },
  { 'x-auth-account': 'somebody', 'x-auth-roles': 'editor', 'x-auth-session': 'x' },
  { 'x-auth-request-user': 'somebody', 'remote-user': 'somebody' },
  { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' },
]

describe.each(['a trusted proxy', 'anybody else'])('what the client says, by way of %s', (peer) => {
  let service: Cardea
  beforeAll(async () => {
    const trustedProxies = peer === 'anybody else' ? [] : ['127.0.0.1/32', '::1/128']
    service = await startCardea({ config: { trustedProxies } })
  })
  afterAll(() => service.stop())

  test('R59: changes no decision', async () => {
    const account = await service.createAccount(['editor'])
    const session = await service.client.logInForCookie(account)
    for (const headers of spoofed) {
      const what = JSON.stringify(headers)
      const get = (query: string, more: RequestOptions = {}) =>
        service.client.get(`/forward-auth${query}`, { ...more, headers })
      expect((await get('')).status, what).toBe(401)
      expect((await get('?role=admin', { session })).status, what).toBe(403)
      const answer = await get('?role=editor', { session })
      expect(answer.status, what).toBe(200)
      expect(answer.headers.get('x-auth-account'), what).toBe(account.id)
      expect(answer.headers.get('x-auth-roles'), what).toBe('editor')
    }
  })

  test('R59: is a return address only if a trusted proxy says it', async () => {
    const headers = { 'x-forwarded-uri': '/reports' }
    const answer = await service.client.get('/forward-auth', { headers })
    const returns = returnsOf(service, { nowMs: Date.now })
    expect(returns.read(returnTokenIn(answer.headers))?.address).toBe(
      peer === 'anybody else' ? '/' : '/reports',
    )
  })

  test('R66: is read by no page of another origin', async () => {
    for (const origin of ['https://evil.example', 'null']) {
      const { headers } = await service.client.get('/forward-auth', { headers: { origin } })
      expect([...headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([])
      expect(headers.get('vary')).toContain('Origin')
    }
  })
})

test('R67: asking changes nothing, and no other method is taken', async () => {
  const { account, session } = await logIn()
  const state = async () => {
    const asOwner = sqlAs(cardea.stores.migrateUrl)
    const account_id = Buffer.from(account.id, 'base64url')
    const columns = 'id, generation, data, data_version, ended_at, authenticated_at'
    const rows = await asOwner(`SELECT ${columns} FROM sessions WHERE account_id = $1`, [
      account_id,
    ])
    return { rows, audited: await asOwner('SELECT count(*) FROM audit_events') }
  }
  const before = await state()
  for (const query of ['', '?token=1', '?role=x', '?max_age=1', '?login=redirect', '?x=y']) {
    for (const options of [{ session }, {}]) {
      await ask(options, query)
      await cardea.client.send('HEAD', `/forward-auth${query}`, options)
    }
  }
  expect(await state()).toEqual(before)
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const { status, headers } = await cardea.client.send(method, '/forward-auth', { session })
    expect(status, method).toBe(405)
    expect(headers.get('allow')).toBe('GET, HEAD')
  }
})
