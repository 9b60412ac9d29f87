import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { jsonHeaders, sendRaw, startToyServer } from './toy-server.ts'

const body = '{"email":"a@b"}'

test('R64: a POST without body and content type is 415 and runs no handler', async () => {
  const { port, handled } = await startToyServer()
  for (const line of ['POST /plain', 'POST /echo']) {
    for (const headers of [[], ['Authorization: Basic eDp5'], ['Content-Length: 0']]) {
      const answer = await sendRaw(port, line, ['Host: localhost', ...headers])
      expect(answer.status, line).toBe(415)
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
    }
  }
  expect(handled()).toBe(0)
})

test('R64: without a body, what no form can send needs no content type, or any: other methods, and a bearer token', async () => {
  const { port, handled } = await startToyServer()
  const bearer = 'Authorization: bearer person-token'
  const untyped = [
    ['DELETE /things/1', []],
    ['DELETE /things/1', ['Content-Length: 0']],
    ['POST /plain', [bearer]],
    ['POST /plain', [bearer, 'Content-Length: 0']],
  ] as const
  for (const [line, headers] of untyped) {
    expect((await sendRaw(port, line, ['Host: localhost', ...headers])).status, line).toBe(200)
  }
  expect(handled()).toBe(4)
  // The schema judges what is not there, as it judges an empty object.
  expect((await sendRaw(port, 'POST /echo', ['Host: localhost', bearer])).status).toBe(400)
  for (const length of [`Content-Length: ${body.length}`, 'Transfer-Encoding: chunked']) {
    const text = length.endsWith('chunked') ? '0\r\n\r\n' : body
    for (const [line, headers] of untyped.slice(0, 3)) {
      if (headers.some((header) => header.startsWith('Content-Length'))) continue
      const answer = await sendRaw(port, line, ['Host: localhost', ...headers, length], text)
      expect(answer.status, `${line} ${length}`).toBe(415)
    }
  }
  expect(handled()).toBe(4)
  // Of nothing, a type says nothing: axios sends that of a form.
  for (const type of ['application/x-www-form-urlencoded', 'text/plain', '', 'application/json']) {
    for (const [line, headers] of untyped) {
      const typed = ['Host: localhost', `Content-Type: ${type}`, ...headers]
      expect((await sendRaw(port, line, typed)).status, `${line} ${type}`).toBe(200)
    }
    const forged = ['Host: localhost', `Content-Type: ${type}`, 'Content-Length: 0']
    const expected = type === 'application/json' ? 200 : 415
    expect((await sendRaw(port, 'POST /plain', forged)).status, type).toBe(expected)
  }
})

test('R65: any content type but application/json in UTF-8 is 415 and runs no handler', async () => {
  const { url, handled } = await startToyServer()
  const refused = [
    ...'text/plain application/x-www-form-urlencoded application/json;;'.split(' '),
    ...'application/problem+json application/jsonp text/json *'.split(' '),
    'multipart/form-data; boundary=x',
    'application/json; charset=latin1',
    'application/json; charset=utf-8; version=1',
    'application/json; charset=utf-16',
    'application/json; charset=',
    'application/json, text/plain',
  ]
  for (const contentType of refused) {
    const headers = { 'content-type': contentType }
    const response = await fetch(`${url}/echo`, { method: 'POST', headers, body })
    expect(response.status, contentType).toBe(415)
  }
  expect(handled()).toBe(0)
})

test('R65: a body without any content type is 415', async () => {
  const { port, handled } = await startToyServer()
  const headers = ['Host: localhost', `Content-Length: ${body.length}`]
  expect((await sendRaw(port, 'POST /echo', headers, body)).status).toBe(415)
  expect(handled()).toBe(0)
})

test('application/json is accepted in any case, with charset utf-8 or without, under either of its names', async () => {
  const { url } = await startToyServer()
  const accepted = [
    'application/json',
    'APPLICATION/json',
    'application/json;charset=UTF-8',
    'application/json; charset="utf-8"',
    'application/json; charset=utf8',
    'application/json;charset="UTF8"',
    'application/json;',
    'application/json ; ',
    'application/json; charset=utf-8;',
  ]
  for (const contentType of accepted) {
    const headers = { 'content-type': contentType }
    const response = await fetch(`${url}/echo`, { method: 'POST', headers, body })
    expect(await response.json(), contentType).toEqual({ email: 'a@b' })
  }
})

test('R117: a compressed body is 415 and one over 8 KiB 413, announced or streamed', async () => {
  const { url, handled } = await startToyServer()
  const compressed = await fetch(`${url}/echo`, {
    method: 'POST',
    headers: { ...jsonHeaders, 'content-encoding': 'gzip' },
    body: gzipSync(body),
  })
  expect(compressed.status).toBe(415)
  const large = JSON.stringify({ email: 'a', note: 'x'.repeat(8 * 1024) })
  const announced = await fetch(`${url}/echo`, {
    method: 'POST',
    headers: jsonHeaders,
    body: large,
  })
  expect(announced.status).toBe(413)
  const streamed = await fetch(`${url}/echo`, {
    method: 'POST',
    headers: jsonHeaders,
    body: new Blob([large]).stream(),
    duplex: 'half',
  })
  expect(streamed.status).toBe(413)
  const justFits = `${body}${' '.repeat(8 * 1024 - body.length)}`
  const fits = await fetch(`${url}/echo`, { method: 'POST', headers: jsonHeaders, body: justFits })
  expect(fits.status).toBe(200)
  expect(handled()).toBe(1)
})

test('R118 R119 R120 R121: wrong types, unknown, repeated and poisonous members are 400 and nothing is coerced', async () => {
  const { url, handled } = await startToyServer()
  const refused = [
    ...'{"email":null} {"email":12345} {"email":["a@b"]} {} [] null "a@b"'.split(' '),
    ...'{"email":"a@b","admin":true} {"email":"a@b","email":"c@d"}'.split(' '),
    ...'{"email":"a@b","note":{"__proto__":{"admin":true}}}'.split(' '),
    ...'{"email":"a@b","note":{"constructor":{"prototype":{"admin":true}}}}'.split(' '),
    '{"email":"a@b","note":{"\\u005f\\u005fproto__":{"admin":true}}}',
    '{"email":"a\\u0000b"}',
    '{"email":"\\ud800"}',
  ]
  for (const text of refused) {
    const response = await fetch(`${url}/echo`, {
      method: 'POST',
      headers: jsonHeaders,
      body: text,
    })
    expect(response.status, text).toBe(400)
    expect(await response.json()).toMatchObject({ code: 'invalid_request' })
  }
  expect(handled()).toBe(0)
  expect(Reflect.get({}, 'admin')).toBeUndefined()
})

test('an empty body is an empty object, and a route that describes no body takes no members', async () => {
  const { url, handled } = await startToyServer()
  const post = (text?: string) =>
    fetch(`${url}/plain`, { method: 'POST', headers: jsonHeaders, ...(text && { body: text }) })
  expect((await post()).status).toBe(200)
  expect((await post('{}')).status).toBe(200)
  expect((await post('{"everyone":true}')).status).toBe(400)
  expect((await post('[]')).status).toBe(400)
  expect(handled()).toBe(2)
})

test('null as the whole body is no body, and nothing is replaced by it', async () => {
  const { url, handled } = await startToyServer()
  const send = (path: string, text: string, method = 'POST') =>
    fetch(`${url}${path}`, { method, headers: jsonHeaders, body: text })
  for (const text of ['null', ' null\n']) expect((await send('/plain', text)).status).toBe(200)
  expect((await send('/things/1', 'null', 'DELETE')).status).toBe(200)
  expect((await send('/echo', 'null')).status).toBe(400)
  expect(handled()).toBe(3)
  for (const text of ['null', '']) {
    const answer = await send('/settings', text, 'PUT')
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ detail: 'The body is empty.' })
  }
  expect((await fetch(`${url}/settings`, { method: 'PUT' })).status).toBe(400)
  expect(handled()).toBe(3)
})
