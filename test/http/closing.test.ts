import { connect } from 'node:net'
import { expect, test, vi } from 'vitest'
import { jsonHeaders, startToyServer } from './toy-server.ts'

test('closing finishes the requests under way and refuses those that still arrive, in our form', async () => {
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
  await vi.waitUntil(() => received.includes('service_unavailable'))
  expect(received).toMatch(/^HTTP\/1\.1 503 /)
  expect(received.toLowerCase()).toContain('connection: close')
  expect(received).toContain('nosniff')
  release()
  expect((await underWay).status).toBe(200)
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
