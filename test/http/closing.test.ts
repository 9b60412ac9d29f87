import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test, vi } from 'vitest'
import { jsonHeaders, startToyServer } from './toy-server.ts'

test('closing finishes the requests under way and those that still arrive on open connections, and ends each connection with its response', async () => {
  const { app, url, port, release, handled } = await startToyServer()
  const underWay = fetch(`${url}/wait`, { method: 'POST', headers: jsonHeaders })
  const late = connect({ host: '127.0.0.1', port })
  let received = ''
  late.on('data', (chunk) => {
    received += chunk
  })
  // A request that is begun before closing, so that its connection counts as busy.
  late.write('GET /things/1 HTTP/1.1\r\nHost: a\r\n')
  await vi.waitUntil(() => handled() === 1)
  const closed = app.close()
  await vi.waitUntil(() => !app.server.listening)
  late.write('\r\n')
  await vi.waitUntil(() => late.closed)
  expect(received).toMatch(/^HTTP\/1\.1 200 /)
  expect(received.toLowerCase()).toContain('connection: close')
  expect(received).toContain('nosniff')
  release()
  const finished = await underWay
  expect(finished.status).toBe(200)
  await closed
  await expect(fetch(`${url}/things/1`)).rejects.toThrow()
})

test('a client that trickles cannot keep a closing server open', async () => {
  const { app, port } = await startToyServer({ timeouts: { closeMs: 100 } })
  const socket = connect({ host: '127.0.0.1', port })
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => socket.write('GET /things/1 HTTP/1.1\r\n', () => resolve()))
  await app.close()
  await vi.waitUntil(() => socket.closed)
})

test('a connection that never sent a request, as browsers open them in advance, does not keep a closing server open', async () => {
  const { app, port } = await startToyServer({ timeouts: { closeMs: 3_600_000 } })
  const socket = connect({ host: '127.0.0.1', port })
  socket.on('error', () => undefined)
  await new Promise((resolve) => app.server.once('connection', resolve))
  await app.close()
  await vi.waitUntil(() => socket.closed)
})

test('while the service drains it takes new connections, and each response is the last of its connection', async () => {
  const draining = new AbortController()
  const { url } = await startToyServer({ draining: draining.signal })
  const connectionOf = async (path: string, init?: RequestInit) => {
    const response = await fetch(`${url}${path}`, init)
    await response.arrayBuffer()
    return [response.status, response.headers.get('connection')]
  }
  expect(await connectionOf('/things/1')).toEqual([200, 'keep-alive'])
  draining.abort()
  for (let times = 0; times < 3; times += 1) {
    expect(await connectionOf('/things/1')).toEqual([200, 'close'])
    expect(await connectionOf('/nothing')).toEqual([404, 'close'])
    expect(await connectionOf('/me')).toEqual([401, 'close'])
    expect(await connectionOf('/plain', { method: 'POST' })).toEqual([415, 'close'])
  }
})

test('connections that wait to be taken when closing begins are served, not reset', async () => {
  const { app, port } = await startToyServer()
  const ask = async () => {
    const socket = connect({ host: '127.0.0.1', port })
    let received = ''
    socket.on('data', (chunk) => {
      received += chunk
    })
    socket.write('GET /things/1 HTTP/1.1\r\nHost: a\r\n\r\n')
    await once(socket, 'connect')
    return () => received
  }
  // Both ends are in this process: the kernel has connected them before the server takes its end.
  const asked = Promise.all(Array.from({ length: 50 }, ask))
  await once(app.server, 'connection')
  await app.close()
  const received = await asked
  await vi.waitFor(() => {
    for (const text of received) expect(text()).toMatch(/^HTTP\/1\.1 200 /)
  })
})
