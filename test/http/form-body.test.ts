import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { sendRaw, startToyServer, type ToyServer } from './toy-server.ts'

const formHeaders = { 'content-type': 'application/x-www-form-urlencoded' }

const send = async (
  { url }: ToyServer,
  body: string | Buffer,
  { path = '/oauth/echo', headers = {} as Record<string, string> } = {},
) => {
  const sent = typeof body === 'string' ? body : new Uint8Array(body)
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { ...formHeaders, ...headers },
    body: sent,
  })
  const { status, headers: answered } = response
  return { status, headers: answered, body: JSON.parse(await response.text()) }
}

test('a form is read as the URL standard says, and parameters that are not known are let through', async () => {
  const toy = await startToyServer()
  expect((await send(toy, 'token=a+b%2Bc&client_id=x')).body).toEqual({
    token: 'a b+c',
    client_id: 'x',
  })
  for (const charset of [';charset=utf-8', '; charset="UTF-8"', '; charset=utf8', ';', ' ; ']) {
    const headers = { 'content-type': `application/x-www-form-urlencoded${charset}` }
    expect((await send(toy, 'token=a', { headers })).status).toBe(200)
  }
})

test('R65: a form route takes nothing but forms, and forms are taken nowhere else', async () => {
  const toy = await startToyServer()
  const refused = [
    'application/json',
    'text/plain',
    'multipart/form-data; boundary=x',
    'application/x-www-form-urlencoded; charset=latin1',
    'application/x-www-form-urlencoded, application/json',
    'application/x-www-form-urlencodedx',
  ]
  for (const contentType of refused) {
    const answer = await send(toy, 'token=a', { headers: { 'content-type': contentType } })
    expect(answer.status, contentType).toBe(415)
    expect(answer.body, contentType).toMatchObject({ error: 'invalid_request' })
  }
  expect((await send(toy, 'email=a', { path: '/echo' })).status).toBe(415)
  expect((await send(toy, '', { path: '/plain' })).status).toBe(415)
  const untyped = await sendRaw(toy.port, 'POST /oauth/echo', ['Host: localhost'])
  expect(untyped.status).toBe(415)
  expect(toy.handled()).toBe(0)
})

test('R117: a compressed form is 415 and one over 8 KiB 413', async () => {
  const toy = await startToyServer()
  const headers = { 'content-encoding': 'gzip' }
  expect((await send(toy, gzipSync('token=a'), { headers })).status).toBe(415)
  const large = await send(toy, `token=${'a'.repeat(8 * 1024)}`)
  expect(large).toMatchObject({ status: 413, body: { error: 'invalid_request' } })
  expect(toy.handled()).toBe(0)
  expect((await send(toy, `token=${'a'.repeat(8 * 1024 - 6)}`)).status).toBe(200)
})

test('R120: a parameter that comes twice is refused, equal or empty values included', async () => {
  const toy = await startToyServer()
  for (const body of ['token=a&token=b', 'token=a&token=a', 'token=&token=a', 'token=a&x=&x=']) {
    expect(await send(toy, body), body).toMatchObject({
      status: 400,
      body: { error: 'invalid_request', error_description: 'The body names a parameter twice.' },
    })
  }
  // The same name in another spelling.
  expect((await send(toy, 'token=a&%74oken=b')).status).toBe(400)
  expect(toy.handled()).toBe(0)
})

test('a parameter without a value counts as left out', async () => {
  const toy = await startToyServer()
  for (const body of ['', 'token', 'token=', '&', 'other=x']) {
    expect(await send(toy, body), body).toMatchObject({
      status: 400,
      body: { error: 'invalid_request' },
    })
  }
})

test('R121: bytes that are no form, broken escapes and control characters are 400', async () => {
  const toy = await startToyServer()
  const bodies: (string | Buffer)[] = [
    'token=a%',
    'token=%zz',
    'token=%ff',
    'token=%00',
    'token=a%0d%0ab',
    'token=a\r\n',
    Buffer.from('token=\xff', 'latin1'),
    Buffer.from('token=\x00', 'latin1'),
    'token=é',
    'token=%C3%A9',
  ]
  for (const body of bodies) expect((await send(toy, body)).status, String(body)).toBe(400)
  expect(toy.handled()).toBe(0)
})

test('R119: a parameter named __proto__ is inert', async () => {
  const toy = await startToyServer()
  const { status } = await send(toy, 'token=a&__proto__=x&constructor=y&%5F_proto__%5Badmin%5D=1')
  expect(status).toBe(200)
  expect(Object.hasOwn(Object.prototype, 'admin')).toBe(false)
})

test('R62: a form from a page of a foreign origin is refused before it is read', async () => {
  const toy = await startToyServer()
  for (const headers of [
    { origin: 'https://evil.example' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'null' },
  ]) {
    const answer = await send(toy, 'token=a', { headers })
    expect(answer, JSON.stringify(headers)).toMatchObject({
      status: 403,
      body: { error: 'invalid_request' },
    })
  }
  expect(toy.handled()).toBe(0)
})

test('R99: an OAuth route fails in the words of RFC 6749, and nothing of the cause gets out', async () => {
  const toy = await startToyServer()
  const broken = await send(toy, '', { path: '/oauth/fails' })
  expect(broken).toMatchObject({ status: 500, body: { error: 'server_error' } })
  const away = await send(toy, '', { path: '/oauth/away' })
  expect(away).toMatchObject({ status: 503, body: { error: 'temporarily_unavailable' } })
  expect(away.headers.get('retry-after')).toBe('2')
  const nobody = await send(toy, '', { path: '/oauth/service' })
  expect(nobody).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
  expect(nobody.headers.get('www-authenticate')).toBe('Basic realm="cardea", charset="UTF-8"')
  // The rule it broke is told, and is full of characters that a description must not have.
  const control = await send(toy, 'token=%00')
  expect(control.body.error_description).toContain('must match pattern')
  for (const { headers, body } of [broken, away, nobody, control]) {
    expect(headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('x-request-id')).toBeTruthy()
    expect(Object.keys(body).toSorted()).toEqual(['error', 'error_description'])
    expect(body.error_description).toMatch(/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/)
    expect(JSON.stringify(body)).not.toMatch(/10\.0\.0\.7|hunter2/)
  }
})
