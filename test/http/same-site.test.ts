import { expect, test } from 'vitest'
import { originList } from '../../src/http/browser-requests.ts'
import { sendRaw, startToyServer } from './toy-server.ts'

const post = async (headers: readonly string[], method = 'POST') => {
  const server = await startToyServer()
  const answer = await sendRaw(server.port, `${method} /plain`, [
    'Host: auth.example.com',
    'Content-Type: application/json',
    ...headers,
  ])
  return { status: answer.status, handled: server.handled(), body: answer.body }
}

const allowed = { status: 200, handled: 1 }
const refused = { status: 403, handled: 0 }

test.each([
  ['same-origin', undefined, allowed],
  ['none', undefined, allowed],
  ['same-site', 'https://app.example.com', allowed],
  ['same-site', 'https://auth.example.com', allowed],
  ['same-site', 'https://evil.example.com', refused],
  ['same-site', undefined, refused],
  ['same-site', 'null', refused],
  ['cross-site', 'https://app.example.com', refused],
  ['cross-site', undefined, refused],
  ['made-up', 'https://app.example.com', refused],
  ['', undefined, refused],
])(
  'R62: an unsafe request with Sec-Fetch-Site "%s" and Origin %s',
  async (site, origin, expected) => {
    const headers = [
      `Sec-Fetch-Site: ${site}`,
      ...(origin === undefined ? [] : [`Origin: ${origin}`]),
    ]
    expect(await post(headers)).toMatchObject(expected)
  },
)

test.each([
  ['https://app.example.com', allowed],
  ['https://auth.example.com', allowed],
  ['null', refused],
  ['', refused],
  ['http://app.example.com', refused],
  ['https://app.example.com:8443', refused],
  ['https://app.example.com.evil.example', refused],
  ['https://APP.example.com', refused],
  ['https://app.example.com/', refused],
  ['https://evil.example', refused],
])('R63: an unsafe request without Sec-Fetch-Site and Origin "%s"', async (origin, expected) => {
  expect(await post([`Origin: ${origin}`])).toMatchObject(expected)
})

test('R63: neither header present means no browser, and the request is handled', async () => {
  expect(await post([])).toMatchObject(allowed)
})

test('a refusal says what is wrong with the origin, and comes before the body is looked at', async () => {
  const refusals = [
    ['https://evil.example', 'forbidden_origin', 'https://evil.example is not in ALLOWED_ORIGINS.'],
    ['null', 'forbidden_origin', expect.stringContaining('a file')],
    ['https://app.example.com/', 'forbidden_origin', undefined],
    [`https://${'a'.repeat(300)}.example`, 'forbidden_origin', undefined],
    ['https://app.example.com', 'cross_site_origin', undefined],
  ] as const
  for (const [origin, code, detail] of refusals) {
    const headers = [`Origin: ${origin}`, 'Sec-Fetch-Site: cross-site', 'Content-Length: 9']
    const { body, status } = await post(headers)
    expect({ status, ...JSON.parse(body) }).toMatchObject({ status: 403, code })
    expect(JSON.parse(body).detail, origin).toEqual(detail)
  }
})

test.each([
  ['DELETE', '/me', ['Authorization: Bearer person-token'], 200],
  ['DELETE', '/me', ['Authorization: Bearer bad'], 401],
  ['POST', '/admin/me', ['Authorization: Bearer operator-token'], 200],
  ['POST', '/oauth/echo', ['Content-Type: application/x-www-form-urlencoded'], 400],
  ['POST', '/nowhere', [], 404],
])(
  'R62: a listed page of another site may send %s %s, which needs no cookie',
  async (method, path, headers, status) => {
    const { port } = await startToyServer()
    const from = ['Host: a', 'Origin: https://app.example.com', 'Sec-Fetch-Site: cross-site']
    const answer = await sendRaw(port, `${method} ${path}`, [...from, ...headers])
    expect(answer.status).toBe(status)
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://app.example.com')
    const foreign = ['Host: a', 'Origin: https://evil.example', 'Sec-Fetch-Site: cross-site']
    expect((await sendRaw(port, `${method} ${path}`, [...foreign, ...headers])).status).toBe(403)
  },
)

test('R62: without a token of its own such a page opens no route that a cookie could open', async () => {
  const { port, handled } = await startToyServer()
  const from = ['Host: a', 'Origin: https://app.example.com', 'Sec-Fetch-Site: cross-site']
  const answer = await sendRaw(port, 'DELETE /me', [...from, 'Cookie: __Host-cardea-session=x'])
  expect(answer.status).toBe(403)
  expect(JSON.parse(answer.body)).toMatchObject({ code: 'cross_site_origin' })
  expect(handled()).toBe(0)
})

test.each(['capacitor://localhost', 'tauri://localhost', 'app://bundle', 'app://-'])(
  'R62: an app in a webview, %s, is of another site, also where the webview does not say so',
  async (origin) => {
    const { port, handled } = await startToyServer({ allowedOrigins: [origin] })
    for (const site of [['Sec-Fetch-Site: cross-site'], ['Sec-Fetch-Site: same-site'], []]) {
      const from = ['Host: a', `Origin: ${origin}`, ...site]
      const json = [...from, 'Content-Type: application/json']
      const plain = await sendRaw(port, 'POST /plain', json)
      expect(JSON.parse(plain.body)).toMatchObject({ status: 403, code: 'cross_site_origin' })
      const bearer = [...from, 'Authorization: Bearer person-token']
      expect((await sendRaw(port, 'DELETE /me', bearer)).status).toBe(200)
    }
    expect(handled()).toBe(3)
    const other = await sendRaw(port, 'DELETE /me', [
      'Host: a',
      `Origin: ${origin}.evil`,
      'Authorization: Bearer person-token',
    ])
    expect(other.status).toBe(403)
  },
)

const localPage = 'http://localhost:5173'

test.each([
  ['127.0.0.1:8088', 'http://127.0.0.1:5173', 'localhost:8088'],
  ['[::1]:8088', 'http://[::1]:5173', 'localhost:8088'],
  ['auth.localhost', 'http://auth.localhost:5173', 'localhost'],
])(
  'a listed page at localhost that calls %s is told how to become of the same site',
  async (host, page, server) => {
    const { port } = await startToyServer({ allowedOrigins: [localPage] })
    const headers = [`Host: ${host}`, `Origin: ${localPage}`, 'Sec-Fetch-Site: cross-site']
    const json = [...headers, 'Content-Type: application/json']
    const answer = JSON.parse((await sendRaw(port, 'POST /plain', json)).body)
    expect(answer.code).toBe('cross_site_origin')
    expect(answer.detail).toContain(`open the page as ${page}, or send its requests to ${server}.`)
  },
)

test('an unlisted page of this machine is told of its other name on the list', async () => {
  const { port } = await startToyServer({ allowedOrigins: [localPage, 'http://localhost:3000'] })
  const detailFor = async (origin: string) =>
    JSON.parse((await sendRaw(port, 'POST /plain', ['Host: a', `Origin: ${origin}`])).body).detail
  expect(await detailFor('http://127.0.0.1:5173')).toBe(
    'http://127.0.0.1:5173 is not in ALLOWED_ORIGINS. http://localhost:5173 is listed, but it is another origin.',
  )
  for (const origin of ['http://127.0.0.1:5174', 'http://192.168.0.7:5173']) {
    expect(await detailFor(origin)).toBe(`${origin} is not in ALLOWED_ORIGINS.`)
  }
})

test('safe requests from anywhere are answered', async () => {
  const { port } = await startToyServer()
  const headers = ['Host: localhost', 'Sec-Fetch-Site: cross-site', 'Origin: https://evil.example']
  expect((await sendRaw(port, 'GET /things/1', headers)).status).toBe(200)
})

test('the list of origins takes whole origins only', () => {
  const bad = [
    ...'* null app.example.com https://app.example.com/ https://*.example.com/x'.split(' '),
    ...'https://*.example.com file:// file://localhost app://Bundle app://bundle/page'.split(' '),
    ...'app://* javascript:alert(1) data:text/html,x ws://app.example.com'.split(' '),
  ]
  for (const entry of bad) {
    expect(() => originList('https://auth.example.com', [entry]), entry).toThrow(TypeError)
  }
  expect([...originList('https://auth.example.com/path', ['http://localhost:3000'])]).toEqual([
    'https://auth.example.com',
    'http://localhost:3000',
  ])
})
