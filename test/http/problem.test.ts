import { expect, test } from 'vitest'
import { jsonHeaders, startToyServer } from './toy-server.ts'

test('R98: a failed request is answered with problem details whose status and request id agree with the answer', async () => {
  const { url } = await startToyServer()
  const response = await fetch(`${url}/nowhere`)
  expect(response.status).toBe(404)
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  const requestId = response.headers.get('x-request-id')
  expect(requestId).toMatch(/^[\w-]{22}$/)
  expect(await response.json()).toEqual({
    type: 'urn:cardea:problem:not_found',
    title: 'There is nothing at this address.',
    status: 404,
    code: 'not_found',
    request_id: requestId,
  })
})

test('R98: a failed check of the body names the member and the rule, never the value', async () => {
  const { url, handled } = await startToyServer()
  const post = async (body: string) => {
    const response = await fetch(`${url}/echo`, { method: 'POST', headers: jsonHeaders, body })
    return [response.status, await response.text()] as const
  }
  const [status, tooLong] = await post('{"email":"hunter2-hunter2-hunter2-hunter2"}')
  expect(status).toBe(400)
  expect(JSON.parse(tooLong)).toMatchObject({
    code: 'invalid_request',
    detail: 'body.email must NOT have more than 20 characters.',
  })
  expect(tooLong).not.toContain('hunter2')
  expect((await post('{}'))[1]).toContain('body lacks the member \\"email\\".')
  expect((await post('{"email":"a","other":1}'))[1]).toContain('has an unknown member \\"other\\"')
  expect((await post('{"email":"a","my secret!":1}'))[1]).not.toContain('my secret')
  expect(handled()).toBe(0)
})

test('R103: an unforeseen error denies the request, tells nothing, is logged once and leaves the process alive', async () => {
  const { url, log } = await startToyServer()
  const response = await fetch(`${url}/broken`)
  const text = await response.text()
  expect(response.status).toBe(500)
  expect(JSON.parse(text)).toMatchObject({ code: 'internal_error', status: 500 })
  expect(text).not.toMatch(/10\.0\.0\.7|hunter2|Error:|at /)
  expect(response.headers.get('cache-control')).toBe('no-store')
  const errors = log().filter((line) => Number(line.level) >= 50)
  expect(errors).toHaveLength(1)
  expect(errors[0]).toMatchObject({
    request_id: response.headers.get('x-request-id'),
    err: { message: 'connection to 10.0.0.7 failed' },
  })
  expect(JSON.stringify(log())).not.toContain('hunter2')
  expect((await fetch(`${url}/health/live`)).status).toBe(200)
})

test('an expected failure keeps its code and says when to come back', async () => {
  const { url } = await startToyServer()
  const response = await fetch(`${url}/away`)
  expect(response.status).toBe(503)
  expect(response.headers.get('retry-after')).toBe('2')
  expect(await response.json()).toMatchObject({ code: 'store_unavailable' })
})

test('R98: no refusal of the framework shows its own codes', async () => {
  const { url } = await startToyServer()
  const answers = await Promise.all([
    fetch(`${url}/%zz`),
    fetch(`${url}/things/${'x'.repeat(1500)}`, { method: 'PUT', headers: jsonHeaders }),
    fetch(`${url}/echo`, { method: 'POST', headers: jsonHeaders, body: 'x'.repeat(9000) }),
    fetch(`${url}/echo`, { method: 'POST', headers: jsonHeaders, body: '{' }),
    fetch(`${url}/echo`, { method: 'POST', headers: { 'content-type': ';;' }, body: '{}' }),
  ])
  const codes = await Promise.all(
    answers.map(async (answer) => {
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
      const text = await answer.text()
      expect(text).not.toContain('FST_')
      return [answer.status, JSON.parse(text).code]
    }),
  )
  expect(codes).toEqual([
    [400, 'invalid_request'],
    [405, 'method_not_allowed'],
    [413, 'payload_too_large'],
    [400, 'invalid_request'],
    [415, 'unsupported_media_type'],
  ])
})

test('a client never chooses the id of its request', async () => {
  const { url } = await startToyServer()
  const response = await fetch(`${url}/keys`, { headers: { 'x-request-id': 'chosen-by-client' } })
  expect(response.headers.get('x-request-id')).toMatch(/^[\w-]{22}$/)
})
