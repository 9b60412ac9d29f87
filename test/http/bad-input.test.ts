import { afterAll, describe, expect, test } from 'vitest'
import { dumpOf } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea, testPassword } from '../support/service/cardea.ts'
import type { RequestOptions } from '../support/service/client.ts'
import { exchangeRaw, sendRaw } from './toy-server.ts'

/** The edge is tested by itself with a toy; here it is the real routes that must not have slipped past it. */

const friend = 'https://app.example.com'

const cardea = await startCardea({ config: { allowedOrigins: [friend] }, redisUrl: null })
const port = Number(new URL(cardea.client.address).port)
const account = await cardea.createAccount()
const operator = await cardea.operatorToken()
const loggedIn = await cardea.client.logIn(account)
const handle = loggedIn.refreshToken
const token = loggedIn.accessToken
const session = await cardea.client.logInForCookie(account)
afterAll(() => cardea.stop())

type Request = readonly [method: string, path: () => string, options: () => RequestOptions]

/** One good request to every route that changes something. */
const unsafe: readonly Request[] = [
  ['POST', () => '/login', () => ({ body: { email: account.email, password: testPassword } })],
  ['POST', () => '/refresh', () => ({ handle })],
  ['POST', () => '/logout', () => ({ handle })],
  ['DELETE', () => '/sessions', () => ({ token })],
  ['DELETE', () => '/sessions/AAAAAAAAAAAAAAAAAAAAAA', () => ({ token })],
  [
    'POST',
    () => '/admin/accounts',
    () => ({ token: operator, body: { email: 'new@example.com', password: testPassword } }),
  ],
  [
    'PATCH',
    () => `/admin/accounts/${account.id}`,
    () => ({ token: operator, body: { roles: ['x'] } }),
  ],
  ['POST', () => '/admin/revoke', () => ({ token: operator, body: { sub: account.id } })],
]

const send = (
  [method, path, options]: Request,
  headers: Readonly<Record<string, string>>,
  more: RequestOptions = {},
) => {
  const { handle: cookie, ...rest } = options()
  const withCookie = cookie === undefined ? {} : { cookie: `__Host-cardea-refresh=${cookie}` }
  return cardea.client.send(method, path(), {
    ...rest,
    ...more,
    headers: { ...withCookie, ...headers },
  })
}

const unchanged = async (work: () => Promise<void>) => {
  const before = await dumpOf(cardea.stores.migrateUrl)
  await work()
  expect(await dumpOf(cardea.stores.migrateUrl)).toBe(before)
}

describe.each(unsafe)('%s %s', (...request) => {
  test.each([
    ['R62', { 'sec-fetch-site': 'cross-site' }],
    ['R62', { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }],
    ['R62', { 'sec-fetch-site': 'same-site', origin: 'https://sibling.example.com' }],
    ['R62', { 'sec-fetch-site': 'same-site' }],
    ['R63', { origin: 'null' }],
    ['R63', { origin: 'https://app.example.com.evil.example' }],
    ['R63', { origin: 'http://app.example.com' }],
    ['R63', { origin: `${friend}:444` }],
  ])('%s: is refused from %j before anything changes', async (_row, headers) => {
    await unchanged(async () => {
      const answer = await send(request, headers)
      expect(answer).toMatchObject({ status: 403, body: { code: 'forbidden_origin' } })
      expect(answer.headers.getSetCookie()).toEqual([])
    })
  })

  test.each([
    ['R65', 'text/plain'],
    ['R65', 'application/x-www-form-urlencoded'],
    ['R65', 'multipart/form-data; boundary=a'],
    ['R65', 'application/json; charset=utf-16'],
    ['R65', 'application/json, text/plain'],
    ['R64', ''],
  ])('%s: is refused as %j before anything changes', async (_row, contentType) => {
    await unchanged(async () => {
      const { body = '{}' } = request[2]()
      const answer = await send(request, { 'content-type': contentType }, { body })
      expect(answer).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } })
    })
  })

  test('R64: is refused with neither a body nor a content type, where a form could send that', async () => {
    const [method, path, options] = request
    const { token: bearer, handle: cookie } = options()
    if (method !== 'POST') return
    await unchanged(async () => {
      const answer = await sendRaw(port, `${method} ${path()}`, [
        'Host: a',
        ...(cookie === undefined ? [] : [`Cookie: __Host-cardea-refresh=${cookie}`]),
      ])
      expect(answer.status).toBe(415)
      if (bearer === undefined) return
      const withToken = ['Host: a', `Authorization: Bearer ${bearer}`]
      expect((await sendRaw(port, `${method} ${path()}`, withToken)).status).toBe(400)
    })
  })

  test('R117: is refused with a body over 8 KiB, a compressed one, a token over 4 KiB, and an address over 2 KiB', async () => {
    const [method, path] = request
    await unchanged(async () => {
      const big = await send(request, {}, { body: { a: 'x'.repeat(8 * 1024) } })
      expect(big.status).toBe(413)
      expect((await send(request, { 'content-encoding': 'gzip' })).status).toBe(415)
      const long = `${path()}?${'x'.repeat(2048)}`
      expect((await cardea.client.send(method, long)).status).toBe(414)
      if (request[2]().token !== undefined) {
        const { status, body } = await send(request, {}, { token: 'x'.repeat(4097) })
        expect([status, body.code]).toEqual([401, 'invalid_token'])
      }
    })
  })

  test('R118, R119, R120: is refused with a body of the wrong kind, with members it does not know, doubled or poisoned', async () => {
    const bodies = [
      ...'[] "text" 1 { {"unknown":1}'.split(' '),
      ...'{"email":"a@example.com","email":"b@example.com","password":"x"}'.split(' '),
      ...'{"__proto__":{"admin":true}} {"constructor":{"prototype":{"admin":true}}}'.split(' '),
      ...'{"a":{"__proto__":{"admin":true}}}'.split(' '),
      '{"\\u005f_proto__":{"admin":true}}',
      '\ufeff{}',
    ]
    await unchanged(async () => {
      for (const body of bodies) {
        const answer = await send(request, {}, { body })
        expect(answer.status, body).toBe(400)
        expect(answer.body.code).toBe('invalid_request')
      }
    })
    expect(Object.hasOwn(Object.prototype, 'admin')).toBe(false)
  })

  test('R67: does not happen by GET, HEAD or OPTIONS', async () => {
    const [, path, options] = request
    const { body: _body, ...rest } = options()
    const isAlsoRead = ['/sessions', '/admin/accounts'].includes(path())
    for (const method of ['GET', 'HEAD', 'OPTIONS']) {
      const before = await auditEntries(cardea.stores.migrateUrl)()
      const answer = await cardea.client.send(method, path(), rest)
      const expected = isAlsoRead && method !== 'OPTIONS' ? 200 : 405
      expect(answer.status, method).toBe(expected)
      expect(answer.headers.getSetCookie()).toEqual([])
      const after = (await auditEntries(cardea.stores.migrateUrl)()).slice(before.length)
      // That an operator looked is recorded, and nothing else ever is.
      for (const { event } of after) expect(event).toBe('operator_read')
    }
  })
})

/** Those that nothing but a cookie opens. */
const cookieOnly: readonly Request[] = [
  ['PUT', () => '/session/data', () => ({ body: {} })],
  ['POST', () => '/session/reauthenticate', () => ({ body: { password: testPassword } })],
]

describe.each([...unsafe, ...cookieOnly])('%s %s', (method, path, options) => {
  test('R62: a listed page of another site reads and sets no cookie, whatever it sends along', async () => {
    const { token: bearer } = options()
    const from = { 'sec-fetch-site': 'cross-site', origin: friend }
    const cookie = `__Host-cardea-refresh=${handle}; __Host-cardea-session=${session}`
    await unchanged(async () => {
      const { body } = options()
      const withoutToken = { headers: { ...from, cookie }, ...(body !== undefined && { body }) }
      const answer = await cardea.client.send(method, path(), withoutToken)
      const expected =
        bearer !== undefined && path().startsWith('/admin') ? 'missing_token' : 'cross_site_origin'
      expect(answer.body.code).toBe(expected)
      expect(answer.headers.get('access-control-allow-origin')).toBe(friend)
      expect(answer.headers.getSetCookie()).toEqual([])
    })
  })
})

describe('POST /login', () => {
  const post = (body: unknown) => cardea.client.post('/login', { body })
  const good = () => ({ email: account.email, password: testPassword })

  test('R118: takes no number, null, array or object where text belongs, and coerces none', async () => {
    for (const value of [null, 12345, ['x'], {}, true]) {
      for (const member of ['email', 'password', 'delivery', 'audience', 'device_token']) {
        const answer = await post({ ...good(), [member]: value })
        expect(answer.status, `${member} ${JSON.stringify(value)}`).toBe(400)
      }
    }
    for (const body of [{ email: account.email }, { password: testPassword }, {}]) {
      expect((await post(body)).status).toBe(400)
    }
    expect((await post({ ...good(), remember: true })).status).toBe(400)
    expect((await post({ ...good(), delivery: 'Cookie' })).status).toBe(400)
  })

  test('R118: names the member that is wrong and never the value', async () => {
    const { body, text } = await post({ ...good(), password: [testPassword] })
    expect(body.detail).toContain('password')
    expect(text).not.toContain(testPassword)
  })

  test('R62, R63: works from the same origin, from a page on the list, and from no browser at all', async () => {
    const sources = [
      {},
      { 'sec-fetch-site': 'same-origin' },
      { 'sec-fetch-site': 'none' },
      { 'sec-fetch-site': 'same-site', origin: friend },
      { origin: friend },
      { 'content-type': 'application/json; charset=utf-8' },
    ]
    for (const headers of sources) {
      const answer = await cardea.client.post('/login', { body: good(), headers })
      expect(answer.status, JSON.stringify(headers)).toBe(200)
    }
  })

  test('R66: lets the pages on the list read its answer, and no other', async () => {
    const allowed = await cardea.client.post('/login', {
      body: good(),
      headers: { origin: friend },
    })
    expect(allowed.headers.get('access-control-allow-origin')).toBe(friend)
    expect(allowed.headers.get('access-control-allow-credentials')).toBe('true')
    const preflight = (origin: string) =>
      cardea.client.send('OPTIONS', '/login', {
        headers: { origin, 'access-control-request-method': 'POST' },
      })
    expect((await preflight(friend)).status).toBe(204)
    const refused = await preflight('https://evil.example')
    const names = [...refused.headers.keys()].filter((name) => name.startsWith('access-control'))
    expect(names).toEqual([])
    expect(refused.headers.get('vary')).toContain('Origin')
  })
})

test.each([
  ['GET', '/account', 401],
  ['GET', '/nowhere', 404],
  ['GET', '/login', 405],
  ['POST', '/refresh', 401],
  ['GET', '/sessions/x/y', 404],
  ['GET', '/%zz', 400],
  ['GET', '/health/live', 200],
  ['GET', '/.well-known/jwks.json', 200],
  ['GET', '/.well-known/oauth-authorization-server', 200],
  ['GET', '/openapi.json', 200],
])(
  'R98, R101: %s %s carries every security header, and a failure is problem+json',
  async (method, path, status) => {
    const answer = await cardea.client.send(method, path)
    expect(answer.status).toBe(status)
    const { headers, body } = answer
    expect(headers.get('strict-transport-security')).toBe('max-age=63072000; includeSubDomains')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect(headers.get('content-security-policy')).toBe(
      "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    )
    expect(headers.get('cross-origin-resource-policy')).not.toBeNull()
    expect(headers.get('x-powered-by')).toBeNull()
    expect(headers.get('server')).toBeNull()
    const isPublic = path.startsWith('/.well-known/')
    expect(headers.get('cache-control')).toMatch(isPublic ? /^public, max-age=300/ : /^no-store$/)
    if (status < 400) return
    expect(headers.get('content-type')).toBe('application/problem+json')
    expect(body).toMatchObject({
      type: `urn:cardea:problem:${body.code}`,
      title: expect.any(String),
      status,
      request_id: headers.get('x-request-id'),
    })
    expect(answer.text).not.toMatch(/FST_|ERR_|stack|node_modules|\.ts/)
  },
)

test.each([
  // GET is a page, for browsers; the tests of the pages see that it is 405 for others.
  ['/login', 'GET, HEAD, POST'],
  ['/forward-auth', 'GET, HEAD'],
  ['/refresh', 'POST'],
  ['/logout', 'GET, HEAD, POST'],
  ['/account', 'GET, HEAD'],
  ['/sessions', 'DELETE, GET, HEAD'],
  ['/admin/revoke', 'POST'],
])(
  'R102: %s answers 405 with Allow: %s to every other method, TRACE included',
  async (path, allow) => {
    for (const method of ['GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'TRACE']) {
      if (allow.split(', ').includes(method)) continue
      const answer = await sendRaw(port, `${method} ${path}`, [
        'Host: a',
        'Content-Type: application/json',
        'Content-Length: 0',
      ])
      expect(answer.status, method).toBe(405)
      expect(answer.headers.get('allow')).toBe(allow)
    }
  },
)

describe('headers that a proxy could read differently', () => {
  const get = (...headers: readonly string[]) => sendRaw(port, 'GET /account', headers)
  const bearer = () => `Authorization: Bearer ${token}`

  test('R123: two Host, Authorization or DPoP lines are refused, although the first would do', async () => {
    expect((await get('Host: a', bearer())).status).toBe(200)
    const repeated = [
      ['Host: a', 'Host: b', bearer()],
      ['Host: a', bearer(), 'Authorization: Bearer x'],
      ['Host: a', bearer(), bearer()],
      ['Host: a', bearer(), 'DPoP: a', 'DPoP: b'],
    ]
    for (const headers of repeated) expect((await get(...headers)).status).toBe(400)
    expect((await get(bearer())).status).toBe(400)
  })

  test('R123: a kid that is not 43 characters of base64url names no key', async () => {
    const [, claims = '', signature = ''] = token.split('.')
    for (const kid of [
      '',
      '__proto__',
      '../../etc/passwd',
      "' OR 1=1",
      'x'.repeat(42),
      'x'.repeat(43),
    ]) {
      const header = Buffer.from(JSON.stringify({ alg: 'ES256', typ: 'at+jwt', kid })).toString(
        'base64url',
      )
      const answer = await get('Host: a', `Authorization: Bearer ${header}.${claims}.${signature}`)
      expect(answer.status, kid).toBe(401)
      expect(JSON.parse(answer.body).code).toBe('invalid_token')
    }
  })

  test('R117: headers over 16 KiB are refused with 431', async () => {
    expect((await get('Host: a', bearer(), `X-Big: ${'x'.repeat(17 * 1024)}`)).status).toBe(431)
  })

  test('R121: NUL and broken escapes in an address are 400 or 404, never 500', async () => {
    const own = `Authorization: Bearer ${operator}`
    const paths = [
      ...'/admin/accounts?email=%00 /admin/accounts?after=%00'.split(' '),
      ...'/admin/accounts/%00/sessions /admin/accounts/x/sessions'.split(' '),
      ...'/admin/accounts?after=zz /sessions/%ff'.split(' '),
    ]
    for (const path of paths) {
      const answer = await sendRaw(port, `GET ${path}`, ['Host: a', own])
      expect([400, 404, 405], `${path} ${answer.status}`).toContain(answer.status)
    }
  })

  test('R125: a body with two lengths is refused on the real routes, and what follows is not read as a request', async () => {
    const smuggled = 'GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n'
    const bytes = `POST /refresh HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`
    const answer = await exchangeRaw(port, bytes)
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400'])
  })
})

test('after all of that the same handle and the same token still work', async () => {
  expect((await cardea.client.get('/account', { token })).status).toBe(200)
  expect((await cardea.client.refresh(handle)).status).toBe(200)
})
