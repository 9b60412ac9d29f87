import { expect, test } from 'vitest'
import { sendRaw, startToyServer } from './toy-server.ts'

const corsHeaders = (headers: ReadonlyMap<string, string>) =>
  [...headers.keys()].filter((name) => name.startsWith('access-control-'))

const preflight = ['Host: localhost', 'Access-Control-Request-Method: POST']

test('R66: a listed origin is named exactly, with credentials and Vary, on answers and refusals', async () => {
  const { port } = await startToyServer()
  for (const line of ['GET /things/1', 'GET /me', 'GET /nowhere']) {
    const { headers } = await sendRaw(port, line, ['Host: x', 'Origin: https://app.example.com'])
    expect(headers.get('access-control-allow-origin'), line).toBe('https://app.example.com')
    expect(headers.get('access-control-allow-credentials')).toBe('true')
    expect(headers.get('vary')).toBe('Origin')
  }
})

test('R66: any other origin gets no CORS header, and the answer still varies by origin', async () => {
  const { port } = await startToyServer()
  for (const origin of [
    'https://evil.example',
    'null',
    '*',
    'https://APP.example.com',
    undefined,
  ]) {
    const lines = ['Host: x', ...(origin === undefined ? [] : [`Origin: ${origin}`])]
    const { headers, status } = await sendRaw(port, 'GET /things/1', lines)
    expect(status).toBe(200)
    expect(corsHeaders(headers), origin).toEqual([])
    expect(headers.get('vary')).toBe('Origin')
  }
})

test('R66: a preflight of a listed origin is answered, one of any other gets no CORS header', async () => {
  const { port, handled } = await startToyServer()
  const listed = await sendRaw(port, 'OPTIONS /echo', [
    ...preflight,
    'Origin: https://app.example.com',
  ])
  expect(listed.status).toBe(204)
  expect(listed.headers.get('access-control-allow-origin')).toBe('https://app.example.com')
  expect(listed.headers.get('access-control-allow-methods')).toContain('POST')
  expect(listed.headers.get('access-control-allow-headers')).toBe(
    'authorization, content-type, if-match',
  )
  const other = await sendRaw(port, 'OPTIONS /echo', [...preflight, 'Origin: https://evil.example'])
  expect(other.status).toBe(405)
  expect(corsHeaders(other.headers)).toEqual([])
  expect(handled()).toBe(0)
})

test('R66: public documents answer any page, never with credentials', async () => {
  const { port } = await startToyServer()
  const document = await sendRaw(port, 'GET /keys?v=1', ['Host: x', 'Origin: https://evil.example'])
  expect(document.headers.get('access-control-allow-origin')).toBe('*')
  expect(document.headers.has('access-control-allow-credentials')).toBe(false)
  const asked = await sendRaw(port, 'OPTIONS /keys', [
    'Host: x',
    'Origin: https://app.example.com',
    'Access-Control-Request-Method: GET',
  ])
  expect(asked.status).toBe(204)
  expect(asked.headers.get('access-control-allow-origin')).toBe('*')
  expect(asked.headers.has('access-control-allow-credentials')).toBe(false)
})
