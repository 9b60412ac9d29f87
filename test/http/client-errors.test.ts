import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test, vi } from 'vitest'
import { exchangeRaw, jsonHeaders, startToyServer } from './toy-server.ts'

const smuggled = 'GET /things/smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
const json = 'Host: a\r\nContent-Type: application/json\r\n'

test.each([
  [
    'a length and chunks',
    `POST /plain HTTP/1.1\r\n${json}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  [
    'chunks and a length',
    `POST /plain HTTP/1.1\r\n${json}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
  ],
  [
    'two different lengths',
    `POST /plain HTTP/1.1\r\n${json}Content-Length: 2\r\nContent-Length: 44\r\n\r\n{}`,
  ],
  [
    'two equal lengths',
    `POST /plain HTTP/1.1\r\n${json}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`,
  ],
  ['a list of lengths', `POST /plain HTTP/1.1\r\n${json}Content-Length: 2, 2\r\n\r\n{}`],
  ['a signed length', `POST /plain HTTP/1.1\r\n${json}Content-Length: +2\r\n\r\n{}`],
  ['a length in hexadecimal', `POST /plain HTTP/1.1\r\n${json}Content-Length: 0x2\r\n\r\n{}`],
  [
    'an unknown transfer coding',
    `POST /plain HTTP/1.1\r\n${json}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
  ],
  [
    'a coding after chunked',
    `POST /plain HTTP/1.1\r\n${json}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
  ],
  [
    'two codings',
    `POST /plain HTTP/1.1\r\n${json}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
  ],
  [
    'a space before the colon',
    `POST /plain HTTP/1.1\r\n${json}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
  ],
  [
    'a folded header',
    `POST /plain HTTP/1.1\r\n${json}Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
  ],
  ['bare line feeds', `POST /plain HTTP/1.1\n${json.replaceAll('\r', '')}Content-Length: 2\n\n{}`],
  [
    'a bare line feed in the headers',
    `POST /plain HTTP/1.1\r\n${json}X: y\nContent-Length: 2\r\n\r\n{}`,
  ],
  [
    'a bare carriage return in a value',
    `POST /plain HTTP/1.1\r\n${json}X: y\rContent-Length: 2\r\n\r\n{}`,
  ],
  [
    'a chunk that ends in a bare line feed',
    `POST /plain HTTP/1.1\r\n${json}Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n`,
  ],
  [
    'a chunk size that is none',
    `POST /plain HTTP/1.1\r\n${json}Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n`,
  ],
])(
  'R125: %s is 400, once, and the connection closes without a second answer',
  async (_name, request) => {
    const { port, handled } = await startToyServer()
    const answer = await exchangeRaw(port, request + smuggled)
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400'])
    expect(answer).toContain('content-type: application/problem+json')
    expect(handled()).toBe(0)
  },
)

test('R125: rubbish behind a request that is still being answered closes the connection, and is not taken for its answer', async () => {
  const { port, handled, release } = await startToyServer()
  const request = `POST /wait HTTP/1.1\r\n${json}Content-Length: 2\r\n\r\n{}`
  expect(await exchangeRaw(port, `${request}NOT HTTP\r\n\r\n`)).toBe('')
  expect(handled()).toBeLessThanOrEqual(1)
  release()
})

/** A third sends nothing, a third half its headers, a third half its body. */
const openTrickling = async (port: number, place: number): Promise<Socket> => {
  const socket = connect({ host: '127.0.0.1', port })
  socket.on('error', () => undefined)
  socket.resume()
  onTestFinished(() => {
    socket.destroy()
  })
  await new Promise<void>((resolve) => socket.once('connect', resolve))
  if (place % 3 === 1) socket.write('POST /plain HTTP/1.1\r\nHost: a\r\nX-Slow')
  if (place % 3 === 2) socket.write(`POST /plain HTTP/1.1\r\n${json}Content-Length: 9\r\n\r\n{`)
  return socket
}

/** In batches: past the accept queue a client believes in connections that the server has never seen. */
const openManyTrickling = async (port: number, count: number): Promise<Socket[]> => {
  const sockets: Socket[] = []
  while (sockets.length < count) {
    const batch = Array.from({ length: 200 }, (_, place) => openTrickling(port, place))
    sockets.push(...(await Promise.all(batch)))
  }
  return sockets
}

test('R126: while 2000 connections trickle, a normal request is answered; then all of them are closed', async () => {
  const { app, url, port, handled } = await startToyServer({
    timeouts: { headersMs: 300_000, requestMs: 400_000, checkEveryMs: 100 },
  })
  const sockets = await openManyTrickling(port, 2000)
  const response = await fetch(`${url}/plain`, { method: 'POST', headers: jsonHeaders })
  expect(response.status).toBe(200)
  expect(handled()).toBe(1)
  expect(sockets.some((socket) => socket.closed)).toBe(false)
  // Only now: on a slow machine the first would have been closed before the last had come.
  Object.assign(app.server, { headersTimeout: 100, requestTimeout: 200 })
  await vi.waitUntil(() => sockets.every((socket) => socket.closed))
  expect(app.server.listening).toBe(true)
  expect(handled()).toBe(1)
})

test.each([
  ['headers', 'GET /things/1 HTTP/1.1\r\nHost: a\r\n'],
  ['a body', `POST /plain HTTP/1.1\r\n${json}Content-Length: 9\r\n\r\n{`],
])('R126: %s that never end are answered 408 problem details', async (_name, start) => {
  const timeouts = { headersMs: 100, requestMs: 200, checkEveryMs: 20 }
  const { port, handled } = await startToyServer({ timeouts })
  const answer = await exchangeRaw(port, start)
  expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  expect(answer).toContain('"code":"request_timeout"')
  expect(handled()).toBe(0)
})

test('a client that goes on trickling after its answer gets no second one', async () => {
  const timeouts = { headersMs: 1_000, requestMs: 1_500, checkEveryMs: 20 }
  const { port } = await startToyServer({ timeouts })
  const start = 'POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{'
  const answer = await exchangeRaw(port, start)
  expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 415'])
})

test('R126: a handler that does not end is answered 503 for it', async () => {
  const { url } = await startToyServer({ timeouts: { responseMs: 50 } })
  const response = await fetch(`${url}/wait`, { method: 'POST', headers: jsonHeaders })
  expect(response.status).toBe(503)
  expect(response.headers.get('retry-after')).toBe('1')
  expect(await response.json()).toMatchObject({ code: 'service_unavailable' })
})

test('R126: none of the limits is left open', async () => {
  const { app } = await startToyServer()
  const { headersTimeout, requestTimeout, keepAliveTimeout, timeout } = app.server
  for (const limit of [headersTimeout, requestTimeout, keepAliveTimeout, timeout]) {
    expect(limit).toBeGreaterThan(0)
    expect(limit).toBeLessThanOrEqual(65_000)
  }
})
