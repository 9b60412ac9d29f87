import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test, vi } from 'vitest'
import { startToyServer } from './toy-server.ts'

const request = 'GET /things/1 HTTP/1.1\r\nHost: a\r\n\r\n'

const responsesIn = (text: string): number => text.split('HTTP/1.1 ').length - 1

test('R117: a connection with more requests than it has responses to is closed, and no thousands are answered', async () => {
  const { app, port } = await startToyServer()
  const socket = connect({ host: '127.0.0.1', port })
  socket.on('error', () => undefined)
  let received = ''
  socket.on('data', (chunk) => {
    received += chunk
  })
  socket.write(request.repeat(1_500))
  await once(socket, 'close')
  expect(responsesIn(received)).toBeLessThan(100)
  await app.close()
})

test('some requests on one connection are answered, whether or not the responses are waited for', async () => {
  const { app, port } = await startToyServer()
  const socket = connect({ host: '127.0.0.1', port })
  let received = ''
  socket.on('data', (chunk) => {
    received += chunk
  })
  socket.write(request.repeat(12))
  await vi.waitUntil(() => responsesIn(received) === 12)
  socket.destroy()
  await app.close()
})
