import { expect, test } from 'vitest'
import { exchangeRaw, sendRaw, startToyServer } from './toy-server.ts'

const browserAccept = 'Accept: text/html,application/xhtml+xml,*/*;q=0.8'
const cookieOf = (bytes: number): string => `Cookie: a=${'x'.repeat(bytes)}`
const kib = 1024

test('R117: a person whose cookies have become too large gets a page that says what to do', async () => {
  const { port, handled } = await startToyServer()
  const answer = await sendRaw(port, 'GET /facts', ['Host: a', browserAccept, cookieOf(20 * kib)])
  expect(answer.status).toBe(431)
  expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
  expect(answer.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src /)
  expect(answer.headers.get('x-request-id')).toBeTruthy()
  expect(answer.body).toContain('delete the cookies of this site')
  expect(handled()).toBe(0)
})

test('R117: so does one whose cookies are larger than the parser takes', async () => {
  const { port } = await startToyServer()
  const lines = ['GET /facts HTTP/1.1', 'Host: a', browserAccept, cookieOf(40 * kib)]
  const answer = await exchangeRaw(port, `${lines.join('\r\n')}\r\n\r\n`)
  expect(answer).toMatch(/^HTTP\/1\.1 431 /)
  expect(answer).toContain('content-type: text/html; charset=utf-8')
  expect(answer).toContain("content-security-policy: default-src 'none'; style-src ")
  expect(answer).toContain('delete the cookies of this site')
})

test.each([20, 40])(
  'R98 R117: a program with %d KiB of headers gets problem details',
  async (size) => {
    const { port } = await startToyServer()
    const accepts = [[], ['Accept: */*'], ['Accept: application/json, text/html;q=0.5']]
    for (const accept of accepts) {
      const lines = ['GET /facts HTTP/1.1', 'Host: a', ...accept, cookieOf(size * kib)]
      const answer = await exchangeRaw(port, `${lines.join('\r\n')}\r\n\r\n`)
      expect(answer).toMatch(/^HTTP\/1\.1 431 /)
      expect(answer).toContain('content-type: application/problem+json')
      expect(answer).toContain('"code":"headers_too_large"')
      expect(answer).toMatch(/\r\nconnection: close\r\n/i)
    }
  },
)

test('R117: the limit is a setting, counts the address and every header, and is exact', async () => {
  const { port } = await startToyServer({ maxHeaderBytes: 32 * kib })
  const statusOf = async (bytes: number) =>
    (await sendRaw(port, 'GET /facts', ['Host: a', cookieOf(bytes)])).status
  // "/facts", "Host: a\r\n", "Cookie: a=\r\n" and "Connection: close\r\n".
  const others = 6 + 9 + 12 + 19
  expect(await statusOf(32 * kib - others)).toBe(200)
  expect(await statusOf(32 * kib - others + 1)).toBe(431)
})
