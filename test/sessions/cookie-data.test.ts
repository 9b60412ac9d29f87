import { afterAll, expect, test } from 'vitest'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import type { RequestOptions } from '../support/service/client.ts'
import { handleFields } from '../support/service/handles.ts'

const cardea = await startCardea({ instances: 2 })
const asOwner = sqlAs(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())

const logIn = async () => cardea.client.logInForCookie(await cardea.createAccount())

const put = (session: string, body: unknown, ifMatch: string | undefined, instance = 0) => {
  const headers: RequestOptions['headers'] = ifMatch === undefined ? {} : { 'if-match': ifMatch }
  return cardea.clientOf(instance).send('PUT', '/session/data', { session, body, headers })
}

const read = (session: string, instance = 0) =>
  cardea.clientOf(instance).get('/session', { session })

/** An object whose JSON has exactly so many bytes, some of them not ASCII. */
const ofBytes = (count: number) => {
  const frame = Buffer.byteLength(JSON.stringify({ note: 'é' }))
  return { note: `é${'x'.repeat(count - frame)}` }
}

test('data is replaced as a whole, version after version, and read back on every instance at once', async () => {
  const session = await logIn()
  expect(await read(session, 1)).toMatchObject({ status: 200, body: { data: {} } })
  const cart = { cart: [{ sku: 'ä-1', count: 2 }], step: 3, note: null }
  const first = await put(session, cart, '"0"')
  expect(first).toMatchObject({ status: 204, text: '' })
  expect(first.headers.get('etag')).toBe('"1"')
  for (const instance of [0, 1]) {
    const answer = await read(session, instance)
    expect(answer.body.data).toEqual(cart)
    expect(answer.headers.get('etag')).toBe('"1"')
  }
  expect((await put(session, {}, '"1"', 1)).headers.get('etag')).toBe('"2"')
  expect((await read(session)).body.data).toEqual({})
})

test('a writer who has not seen the newest version is refused, and * overwrites any', async () => {
  const session = await logIn()
  await put(session, { by: 'one' }, '"0"')
  const late = await put(session, { by: 'two' }, '"0"')
  expect(late).toMatchObject({ status: 412, body: { code: 'precondition_failed' } })
  expect((await read(session)).body.data).toEqual({ by: 'one' })
  expect((await put(session, { by: 'three' }, '*')).headers.get('etag')).toBe('"2"')
})

test('of two writers at once over two instances one wins and one is told', async () => {
  const session = await logIn()
  for (let round = 0; round < 10; round += 1) {
    const answers = await Promise.all(
      [0, 1].map((instance) => put(session, { instance, round }, `"${round}"`, instance)),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([204, 412])
    const winner = answers.findIndex(({ status }) => status === 204)
    for (const instance of [0, 1]) {
      expect((await read(session, instance)).body.data).toEqual({ instance: winner, round })
    }
  }
})

test.each([
  [undefined, 428, 'precondition_required'],
  ['', 400, 'invalid_request'],
  ['W/"0"', 400, 'invalid_request'],
  ['"0", "1"', 400, 'invalid_request'],
  ['0', 400, 'invalid_request'],
  ['"0" ', 204, undefined],
  ['"00"', 412, 'precondition_failed'],
  ['"-1"', 412, 'precondition_failed'],
  ['"99999999999999999999"', 412, 'precondition_failed'],
  ['"2147483648"', 412, 'precondition_failed'],
  ['"another"', 412, 'precondition_failed'],
])('If-Match %j is answered %i', async (ifMatch, status, code) => {
  const session = await logIn()
  const answer = await put(session, {}, ifMatch)
  expect(answer.status).toBe(status)
  expect(answer.body?.code).toBe(code)
  expect((await read(session)).headers.get('etag')).toBe(status === 204 ? '"1"' : '"0"')
})

test('4096 bytes of data fit, one more is refused and changes nothing', async () => {
  const session = await logIn()
  const most = ofBytes(4096)
  expect((await put(session, most, '"0"')).status).toBe(204)
  const more = await put(session, ofBytes(4097), '"1"')
  expect(more).toMatchObject({ status: 413, body: { code: 'payload_too_large' } })
  // Short as it is sent, and too long once its numbers are written out.
  const numbers = `{"n":[${Array.from({ length: 700 }, () => '1e20').join(',')}]}`
  expect((await put(session, numbers, '"1"')).status).toBe(413)
  expect((await read(session)).body.data).toEqual(most)
})

test.each([
  '',
  '[]',
  '"text"',
  '7',
  'null',
  '{"a":1,"a":2}',
  '{"__proto__":{}}',
  '{"n":1e999}',
  '{',
])('the body %s is no data', async (body) => {
  const session = await logIn()
  const answer = await put(session, body, '"0"')
  expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
  expect((await read(session)).headers.get('etag')).toBe('"0"')
})

test('R62 R63 R65: a foreign page cannot write data, nor any page without saying that it is JSON', async () => {
  const session = await logIn()
  const send = (headers: Record<string, string>) =>
    cardea.client.send('PUT', '/session/data', {
      session,
      body: { stolen: true },
      headers: { 'if-match': '*', ...headers },
    })
  expect((await send({ 'sec-fetch-site': 'cross-site' })).status).toBe(403)
  expect((await send({ 'sec-fetch-site': 'same-site' })).status).toBe(403)
  expect((await send({ origin: 'https://evil.example' })).status).toBe(403)
  expect((await send({ origin: 'null' })).status).toBe(403)
  expect((await send({ 'content-type': 'text/plain' })).status).toBe(415)
  expect((await read(session)).body.data).toEqual({})
})

test('data is gone from the database when the session ends', async () => {
  const session = await logIn()
  await put(session, { secret: 'of the form' }, '"0"')
  expect((await cardea.client.post('/logout', { session })).status).toBe(204)
  const rows = await asOwner('SELECT data, end_reason FROM sessions WHERE id = $1', [
    Buffer.from(handleFields(session).sessionId, 'base64url'),
  ])
  expect(rows).toEqual([{ data: null, end_reason: 'logout' }])
  expect((await put(session, {}, '*')).status).toBe(401)
})
