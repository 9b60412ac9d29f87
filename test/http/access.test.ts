import { expect, test } from 'vitest'
import { createHttpServer } from '../../src/http/server.ts'
import { jsonHeaders, startToyServer, toyOptions } from './toy-server.ts'

const get = async (url: string, authorization?: string) => {
  const response = await fetch(url, { headers: { ...(authorization && { authorization }) } })
  const challenge = response.headers.get('www-authenticate')
  return { status: response.status, challenge, body: await response.json(), response }
}

test('R100: no token is challenged without an error code, a bad one with invalid_token', async () => {
  const { url, handled } = await startToyServer()
  const none = { status: 401, challenge: 'Bearer realm="cardea"', body: { code: 'missing_token' } }
  expect(await get(`${url}/me`)).toMatchObject(none)
  expect(await get(`${url}/me`, 'Basic YTpi')).toMatchObject(none)
  for (const header of [
    'Bearer',
    'Bearer  ',
    'Bearer made-up',
    'Bearer a b',
    'Bearer a,b',
    'Bearer "a"',
  ]) {
    expect(await get(`${url}/me`, header), header).toMatchObject({
      status: 401,
      challenge: 'Bearer realm="cardea", error="invalid_token"',
      body: { code: 'invalid_token' },
    })
  }
  expect(handled()).toBe(0)
})

test('R100: a token without the right is 403 insufficient_scope on operator routes, and hears what it lacks', async () => {
  const { url, handled } = await startToyServer()
  for (const [token, detail] of [
    ['person-token', 'The token lacks the role operator and the scope admin.'],
    ['operator-without-scope', 'The token lacks the scope admin.'],
  ]) {
    expect(await get(`${url}/admin/me`, `Bearer ${token}`)).toMatchObject({
      status: 403,
      challenge: 'Bearer realm="cardea", error="insufficient_scope", scope="admin"',
      body: { code: 'insufficient_scope', detail },
    })
  }
  expect(handled()).toBe(0)
  expect((await get(`${url}/admin/me`, 'Bearer operator-token')).status).toBe(200)
})

test('a good token lets the handler know its caller, whatever the case of the scheme', async () => {
  const { url } = await startToyServer()
  for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
    const { status, body } = await get(`${url}/me`, `${scheme} person-token`)
    expect(status).toBe(200)
    expect(body).toMatchObject({ accountId: 'account', sessionId: 'session', tokenId: 'token' })
  }
})

test('R35: a token in the query or in a body is ignored', async () => {
  const { url, handled } = await startToyServer()
  const missing = { status: 401, body: { code: 'missing_token' } }
  expect(await get(`${url}/me?access_token=person-token`)).toMatchObject(missing)
  const form = await fetch(`${url}/plain`, {
    method: 'POST',
    body: new URLSearchParams({ access_token: 'person-token' }),
  })
  expect(form.status).toBe(415)
  const json = await fetch(`${url}/echo`, {
    method: 'POST',
    headers: jsonHeaders,
    body: '{"email":"a","access_token":"person-token"}',
  })
  expect(json.status).toBe(400)
  expect(handled()).toBe(0)
})

test('R117: a token over 4 KiB is refused before anyone looks at it', async () => {
  let looked = 0
  const { url } = await startToyServer({
    authenticate: async () => {
      looked += 1
      throw new Error('unreachable')
    },
  })
  expect(await get(`${url}/me`, `Bearer ${'a'.repeat(4097)}`)).toMatchObject({
    status: 401,
    body: { code: 'invalid_token' },
  })
  expect(looked).toBe(0)
})

test('a store that is away stays 503 without a challenge: a 401 would sign the user out', async () => {
  const { url, log } = await startToyServer()
  const { status, challenge, body, response } = await get(`${url}/me`, 'Bearer store-away')
  expect({ status, challenge }).toEqual({ status: 503, challenge: null })
  expect(body).toMatchObject({ code: 'store_unavailable' })
  expect(JSON.stringify(body)).not.toContain('10.0.0.7')
  expect(response.headers.get('retry-after')).toBe('2')
  const logged = log().filter((line) => line.level >= 50)
  expect(logged).toHaveLength(1)
  expect(JSON.stringify(logged)).toContain('10.0.0.7')
})

test('R103: a check of callers that breaks denies the request and is logged once', async () => {
  const { url, log, handled } = await startToyServer()
  const { status, body } = await get(`${url}/me`, 'Bearer breaks-the-check')
  expect(status).toBe(500)
  expect(JSON.stringify(body)).not.toContain('secret detail')
  expect(log().filter((line) => line.level >= 50)).toHaveLength(1)
  expect(handled()).toBe(0)
  expect((await get(`${url}/me`, 'Bearer person-token')).status).toBe(200)
})

test('the reason of a refused token reaches the caller', async () => {
  const { url } = await startToyServer()
  expect((await get(`${url}/me`, 'Bearer ended')).body).toMatchObject({ reason: 'session_ended' })
})

const basic = (pair: string | Buffer) => `Basic ${Buffer.from(pair).toString('base64')}`

/** As RFC 6749 section 2.3.1 says. */
const goodBasic = basic('replica:right%3A+w%C3%AFth%2Bsigns')

const basicChallenge = 'Basic realm="cardea", charset="UTF-8"'

test('R80: a service route challenges with Basic, and says whether credentials are missing or not good', async () => {
  const { url, handled } = await startToyServer()
  for (const header of [undefined, 'Bearer person-token', 'Bearer operator-token', 'Basics a']) {
    expect(await get(`${url}/feed`, header), header).toMatchObject({
      status: 401,
      challenge: basicChallenge,
      body: { code: 'missing_credentials' },
    })
  }
  const refused = [
    'Basic',
    'Basic ',
    'Basic !',
    basic('replica'),
    basic(':'),
    basic('replica:'),
    basic('replica:wrong'),
    basic('somebody:right%3A+w%C3%AFth%2Bsigns'),
    // Not encoded as in a form, so what arrives is another secret.
    basic('replica:right: wïth+signs'),
    basic('replica:broken%zz'),
    basic('replica:broken%ff'),
    basic(Buffer.from('replica:w\xefth', 'latin1')),
    `${goodBasic}=`,
    `${goodBasic} x`,
    goodBasic.replace('Basic ', 'Basic'),
    `Basic ${'A'.repeat(4096)}`,
  ]
  for (const header of refused) {
    const answer = await get(`${url}/feed`, header)
    expect(answer.status, header).toBe(401)
    expect(answer.challenge, header).toBe(basicChallenge)
  }
  expect(handled()).toBe(0)
})

test('a service client is let in with credentials encoded as in a form, whatever the case of the scheme', async () => {
  const { url } = await startToyServer()
  for (const header of [goodBasic, goodBasic.replace('Basic', 'bAsIc')]) {
    expect((await get(`${url}/feed`, header)).status).toBe(200)
  }
})

test('R100: credentials of a service client open no route of people, and are challenged with Bearer there', async () => {
  const { url, handled } = await startToyServer()
  for (const path of ['/me', '/admin/me']) {
    expect(await get(`${url}${path}`, goodBasic)).toMatchObject({
      status: 401,
      challenge: 'Bearer realm="cardea"',
      body: { code: 'missing_token' },
    })
  }
  expect(handled()).toBe(0)
})

test('credentials that cannot be checked are 503 without a challenge', async () => {
  const { url, handled } = await startToyServer()
  const { status, challenge, response } = await get(`${url}/feed`, basic('store-away:x'))
  expect({ status, challenge }).toEqual({ status: 503, challenge: null })
  expect(response.headers.get('retry-after')).toBe('2')
  expect(handled()).toBe(0)
})

test('refused credentials are logged at debug, and not what they were', async () => {
  const { url, log } = await startToyServer()
  await get(`${url}/feed`, basic('hunter2-as-name:hunter2-as-secret'))
  const lines = log().filter((line) => 'code' in line)
  expect(lines).toEqual([expect.objectContaining({ level: 20, code: 'invalid_client' })])
  expect(JSON.stringify(log())).not.toMatch(/hunter2|aHVudGVyM/)
})

test('the app does not take a route that names no access', async () => {
  const app = await createHttpServer(toyOptions)
  expect(() => app.get('/open', async () => 'open')).toThrow('GET /open does not say who may call')
  await app.close()
})

test('asking for the caller on a public route is a mistake that shows', async () => {
  const { url } = await startToyServer()
  expect((await get(`${url}/nobody`, 'Bearer person-token')).status).toBe(500)
})
