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
  const other = await sendRaw(port, 'OPTIONS /echo', [...preflight, 'Origin: https://evil.example'])
  expect(other.status).toBe(403)
  expect(JSON.parse(other.body)).toMatchObject({
    code: 'forbidden_origin',
    detail: 'https://evil.example is not in ALLOWED_ORIGINS.',
  })
  expect(corsHeaders(other.headers)).toEqual([])
  expect(handled()).toBe(0)
})

test('a preflight allows every header that is asked for, and no pattern', async () => {
  const { port } = await startToyServer()
  const ask = async (path: string, asked: string, origin = 'https://app.example.com') => {
    const { headers } = await sendRaw(port, `OPTIONS ${path}`, [
      ...preflight,
      `Origin: ${origin}`,
      `Access-Control-Request-Headers: ${asked}`,
    ])
    return headers
  }
  const instrumented =
    'authorization,baggage,cache-control,content-type,idempotency-key,if-match,if-none-match,sentry-trace,traceparent,tracestate,x-request-id,x-requested-with'
  for (const asked of [instrumented, 'x_odd.name~', 'A, b']) {
    const headers = await ask('/echo', asked)
    expect(headers.get('access-control-allow-headers')).toBe(asked)
    expect(headers.get('vary')).toBe('Origin, Access-Control-Request-Headers')
    const document = await ask('/keys', asked, 'https://anywhere.example')
    expect(document.get('access-control-allow-headers')).toBe(asked)
  }
  for (const asked of ['*', 'a;b', 'a"b', 'é', '']) {
    expect((await ask('/echo', asked)).has('access-control-allow-headers'), asked).toBe(false)
  }
  const foreign = await ask('/echo', instrumented, 'https://evil.example')
  expect(corsHeaders(foreign)).toEqual([])
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
