import { expect, test } from 'vitest'
import { exchangeRaw, sendRaw, startToyServer } from './toy-server.ts'

const twice = (line: string, other = line) => [line, other]

test.each([
  ['Host', ['Host: a', 'Host: b']],
  [
    'Authorization',
    ['Host: a', ...twice('Authorization: Bearer person-token', 'authorization: Bearer x')],
  ],
  ['DPoP', ['Host: a', ...twice('DPoP: x')]],
  [
    'Content-Type',
    ['Host: a', ...twice('Content-Type: application/json', 'Content-Type: text/plain')],
  ],
  [
    'Origin',
    ['Host: a', ...twice('Origin: https://app.example.com', 'Origin: https://evil.example')],
  ],
  ['Sec-Fetch-Site', ['Host: a', ...twice('Sec-Fetch-Site: none', 'Sec-Fetch-Site: cross-site')]],
])('R123: a repeated %s is 400 and runs no handler', async (name, headers) => {
  const { port, handled } = await startToyServer()
  const answer = await sendRaw(port, 'GET /me', headers)
  expect(answer.status).toBe(400)
  expect(JSON.parse(answer.body).detail).toBe(
    `The header ${name.toLowerCase()} was sent more than once.`,
  )
  expect(handled()).toBe(0)
})

test('R123: a header repeated behind a thousand others is still seen', async () => {
  const { port } = await startToyServer()
  const many = Array.from({ length: 2500 }, () => 'a:')
  const answer = await sendRaw(port, 'GET /facts', ['Host: a', ...many, 'Host: b'])
  expect(answer.status).toBe(400)
})

test('R123: a request without Host is 400 problem details', async () => {
  const { port } = await startToyServer()
  const answer = await sendRaw(port, 'GET /facts', [])
  expect(answer.status).toBe(400)
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
})

test('HTTP/1.0 without Host, as HAProxy checks, opens health routes and nothing else', async () => {
  const { port } = await startToyServer({ production: true })
  const statusOf = async (line: string) =>
    Number((await exchangeRaw(port, `${line}\r\n\r\n`)).split(' ')[1])
  expect(await statusOf('GET /health/live HTTP/1.0')).toBe(200)
  expect(await statusOf('HEAD /health/live HTTP/1.0')).toBe(200)
  expect(await statusOf('GET /health/live HTTP/1.1\r\nConnection: close')).toBe(400)
  expect(await statusOf('GET /facts HTTP/1.0')).toBe(400)
  expect(await statusOf('OPTIONS / HTTP/1.0')).toBe(400)
})

test('R123: HTTP/1.0 with two Hosts is 400 on a health route, too', async () => {
  const { port } = await startToyServer()
  const answer = await exchangeRaw(port, 'GET /health/live HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n')
  expect(answer).toMatch(/^HTTP\/1\.1 400 /)
})

test('a full URL as the target is taken when it names the same host, refused otherwise', async () => {
  const { port } = await startToyServer()
  const statusOf = async (target: string) =>
    (await sendRaw(port, `GET ${target}`, ['Host: auth.example.com'])).status
  expect(await statusOf('http://auth.example.com/facts')).toBe(200)
  expect(await statusOf('http://evil.example/facts')).toBe(400)
  expect(await statusOf('http://auth.example.com@evil.example/facts')).toBe(400)
  expect(await statusOf('http://auth.example.com:81/facts')).toBe(400)
})

test('R117: an address over 2 KiB is 414, whether a route, a parameter or the query is long', async () => {
  const { url } = await startToyServer()
  const long = 'x'.repeat(2049)
  for (const path of [`/${long}`, `/things/${long}`, `/facts?${long}`]) {
    const response = await fetch(`${url}${path}`)
    expect(response.status).toBe(414)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(await response.json()).toMatchObject({ code: 'uri_too_long' })
  }
  expect((await fetch(`${url}/facts?${'x'.repeat(2000)}`)).status).toBe(200)
})

test('R117: headers over 16 KiB are 431 problem details, and the connection closes', async () => {
  const { port } = await startToyServer()
  const flood = `X-Flood: ${'x'.repeat(17 * 1024)}`
  const answer = await sendRaw(port, 'GET /facts', ['Host: a', flood])
  expect(answer.status).toBe(431)
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(answer.headers.get('connection')).toBe('close')
  const small = Array.from({ length: 4000 }, (_, place) => `X-${place}: 1`).join('\r\n')
  const many = await exchangeRaw(port, `GET /facts HTTP/1.1\r\nHost: a\r\n${small}\r\n\r\n`)
  expect(many).toMatch(/^HTTP\/1\.1 431 /)
})
