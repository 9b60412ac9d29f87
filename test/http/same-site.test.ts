import { expect, test } from 'vitest'
import { originList } from '../../src/http/origins.ts'
import { sendRaw, startToyServer } from './toy-server.ts'

const post = async (headers: readonly string[], method = 'POST') => {
  const server = await startToyServer()
  const answer = await sendRaw(server.port, `${method} /plain`, [
    'Host: localhost',
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

test('a refusal says that the origin is forbidden, and comes before the body is looked at', async () => {
  const { body, status } = await post(['Sec-Fetch-Site: cross-site', 'Content-Length: 9'])
  expect(status).toBe(403)
  expect(JSON.parse(body)).toMatchObject({ code: 'forbidden_origin' })
})

test('safe requests from anywhere are answered', async () => {
  const { port } = await startToyServer()
  const headers = ['Host: localhost', 'Sec-Fetch-Site: cross-site', 'Origin: https://evil.example']
  expect((await sendRaw(port, 'GET /things/1', headers)).status).toBe(200)
})

test('the list of origins takes whole origins only', () => {
  const bad = [
    '*',
    'null',
    'app.example.com',
    'https://app.example.com/',
    'https://*.example.com/x',
  ]
  for (const entry of bad) {
    expect(() => originList('https://auth.example.com', [entry]), entry).toThrow(TypeError)
  }
  expect([...originList('https://auth.example.com/path', ['http://localhost:3000'])]).toEqual([
    'https://auth.example.com',
    'http://localhost:3000',
  ])
})
