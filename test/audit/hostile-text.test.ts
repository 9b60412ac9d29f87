import { afterAll, expect, test } from 'vitest'
import { exchangeRaw, sendRaw } from '../http/toy-server.ts'
import { dumpOf } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'

const cardea = await startCardea({ config: { logLevel: 'trace' }, redisUrl: null })
const port = Number(new URL(cardea.client.address).port)
afterAll(() => cardea.stop())

const raw = (headers: readonly string[], body: string) =>
  sendRaw(
    port,
    'POST /login',
    [
      'Host: a',
      'Content-Type: application/json',
      `Content-Length: ${Buffer.byteLength(body)}`,
      ...headers,
    ],
    body,
  )

/** Each a line of its own, printable, not too long, and JSON. */
const expectPlainLog = () => {
  for (const line of cardea.log) {
    expect(line.endsWith('\n')).toBe(true)
    expect(line.length).toBeLessThan(16_384)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/)
    expect(JSON.parse(line)).toBeTypeOf('object')
  }
}

const attempt = JSON.stringify({ email: 'nobody@example.com', password: 'not the password' })

test('R114: control characters in a User-Agent are stored escaped, and what is long is cut', async () => {
  const trail = auditEntries(cardea.stores.migrateUrl)
  // The first start has entries of its own.
  await trail()
  // The C1 form of the escape character starts an ANSI sequence as well.
  const answer = await raw([`User-Agent: \x9b31mred\t${'x'.repeat(9_000)}`], attempt)
  expect(answer.status).toBe(401)
  const [entry] = await trail()
  expect(entry?.user_agent).toMatch(/^\\x9b31mred\\x09x+$/)
  expect(entry?.user_agent).toHaveLength(256)
  expectPlainLog()
})

test.each([
  ['an escape character', 'a\x1b[31mred'],
  ['NUL', 'a\x00b'],
  ['a bare line feed', 'a\nSet-Cookie: b'],
  ['a carriage return', 'a\rb'],
])('R114: a User-Agent with %s never arrives', async (_name, text) => {
  const before = await dumpOf(cardea.stores.migrateUrl)
  const bytes = `POST /login HTTP/1.1\r\nHost: a\r\nUser-Agent: ${text}\r\nContent-Type: application/json\r\nContent-Length: ${attempt.length}\r\nConnection: close\r\n\r\n${attempt}`
  const answer = await exchangeRaw(port, bytes)
  expect(answer).toMatch(/^HTTP\/1\.1 400 /)
  expect(await dumpOf(cardea.stores.migrateUrl)).toBe(before)
  expect(answer).not.toMatch(/^Set-Cookie/im)
  expectPlainLog()
})

test('R114: a megabyte is refused before it is logged: as header, as body and as address', async () => {
  const megabyte = 'x'.repeat(1024 * 1024)
  const statusOf = async (bytes: string) => (await exchangeRaw(port, bytes)).split(' ')[1] ?? 'cut'
  const head = 'POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n'
  const asHeader = `${head}User-Agent: ${megabyte}\r\n\r\n`
  const asBody = `${head}Content-Length: ${megabyte.length}\r\n\r\n${megabyte}`
  expect(['431', 'cut']).toContain(await statusOf(asHeader))
  expect(['413', 'cut']).toContain(await statusOf(asBody))
  expect(['414', '431', 'cut']).toContain(
    await statusOf(`GET /${megabyte} HTTP/1.1\r\nHost: a\r\n\r\n`),
  )
  expectPlainLog()
})

test('R114: what was typed as an address is nowhere to be read: people type passwords there', async () => {
  const typed = [
    'hunter2-my-secret@example.com',
    'Tr0ub4dor&3 is my password',
    'a\r\nlevel=50 forged',
    '\u001b[2J@example.com',
  ]
  for (const email of typed) {
    const { status } = await cardea.client.post('/login', {
      body: { email, password: 'whatever it was' },
    })
    expect([400, 401]).toContain(status)
  }
  const everything = `${await dumpOf(cardea.stores.migrateUrl)}\n${cardea.log.join('')}`
  for (const piece of ['hunter2', 'Tr0ub4dor', 'level=50', 'whatever it was', '[2J']) {
    expect(everything).not.toContain(piece)
  }
  const entries = await auditEntries(cardea.stores.migrateUrl)()
  const references = entries.flatMap(({ identifier_reference: reference }) => reference ?? [])
  expect(references.length).toBeGreaterThan(0)
  for (const reference of references) expect(reference).toMatch(/^[\w-]{22}$/)
  expectPlainLog()
})

test('R114: a kid full of control characters is neither used nor logged as it is', async () => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const kid = `\u001b[31m\r\n${'x'.repeat(500)}`
  const forged = `${part({ alg: 'ES256', typ: 'at+jwt', kid })}.${part({ sub: 'x' })}.AAAA`
  expect((await cardea.client.get('/account', { token: forged })).status).toBe(401)
  expectPlainLog()
})
