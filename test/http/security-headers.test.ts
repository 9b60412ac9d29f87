import { expect, test } from 'vitest'
import { exchangeRaw, sendRaw, startToyServer } from './toy-server.ts'

const expected = {
  'strict-transport-security': /^max-age=(\d{8,}); includeSubDomains$/,
  'x-content-type-options': /^nosniff$/,
  'referrer-policy': /^no-referrer$/,
  'content-security-policy': /^default-src 'none'; frame-ancestors 'none'; base-uri 'none'$/,
  'cross-origin-resource-policy': /^same-origin$/,
  'cache-control': /^no-store$/,
  'x-request-id': /^[\w-]{22}$/,
}

const requests: [status: number, line: string, headers: string[], body?: string][] = [
  [200, 'GET /things/1', ['Host: a']],
  [
    204,
    'OPTIONS /plain',
    ['Host: a', 'Origin: https://app.example.com', 'Access-Control-Request-Method: POST'],
  ],
  [400, 'GET /things/%zz', ['Host: a']],
  [400, 'GET /things/1', ['Host: a', 'Host: b']],
  [400, 'GET /things/1', ['Host: a', 'bad header']],
  [401, 'GET /me', ['Host: a']],
  [403, 'POST /plain', ['Host: a', 'Sec-Fetch-Site: cross-site']],
  [404, 'GET /nowhere', ['Host: a']],
  [405, 'TRACE /plain', ['Host: a']],
  [413, 'POST /plain', ['Host: a', 'Content-Type: application/json', 'Content-Length: 9000']],
  [414, `GET /${'x'.repeat(3000)}`, ['Host: a']],
  [415, 'POST /plain', ['Host: a']],
  [417, 'GET /things/1', ['Host: a', 'Expect: miracles']],
  [431, 'GET /things/1', [`X: ${'x'.repeat(17_000)}`]],
  [500, 'GET /broken', ['Host: a']],
  [503, 'GET /away', ['Host: a']],
]

test.each(requests)(
  'R101: the answer %i to %s carries every security header',
  async (status, line, headers, body) => {
    const { port } = await startToyServer()
    const answer = await sendRaw(port, line, headers, body)
    expect(answer.status).toBe(status)
    for (const [name, value] of Object.entries(expected)) {
      expect(answer.headers.get(name), name).toMatch(value)
    }
    const maxAge = answer.headers.get('strict-transport-security')?.match(/\d+/)?.[0]
    expect(Number(maxAge)).toBeGreaterThanOrEqual(365 * 24 * 3600)
  },
)

test('R101: a public document may be cached, its absence may not', async () => {
  const { port } = await startToyServer()
  const document = await sendRaw(port, 'GET /keys', ['Host: a'])
  expect(document.headers.get('cache-control')).toBe('public, max-age=300')
  const wrongMethod = await sendRaw(port, 'DELETE /keys', ['Host: a'])
  expect(wrongMethod.headers.get('cache-control')).toBe('no-store')
})

test('no answer names the software behind it', async () => {
  const { port } = await startToyServer()
  const answer = await exchangeRaw(
    port,
    'GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  )
  expect(answer).not.toMatch(/fastify|node|x-powered-by|^server:/im)
})
