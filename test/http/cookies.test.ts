import { fastify } from 'fastify'
import { expect, test } from 'vitest'
import {
  type CredentialCookie,
  cookiesOf,
  credentialCookie,
  expiredCookie,
  registerCookies,
  setCookies,
  singleCookie,
} from '../../src/http/browser-requests.ts'

const name = '__Host-cardea-refresh'

const requestWith = (cookie: string | undefined) => ({
  headers: cookie === undefined ? {} : { cookie },
  cookiesRead: undefined,
  isFromOtherSite: false,
})

const read = (cookie: string | undefined) => singleCookie(requestWith(cookie), name)

/** The `Set-Cookie` lines of a response, and what the plugin has read of the request. */
const responseWith = async (
  cookies: readonly CredentialCookie[],
  { fails = false, sends = '' } = {},
) => {
  const app = fastify()
  await registerCookies(app)
  let request: unknown
  app.get('/', async (asked, reply) => {
    setCookies(reply, cookies.slice(0, 1))
    request = asked.cookies
    setCookies(reply, cookies.slice(1))
    if (fails) throw new Error('after the cookies')
    return 'done'
  })
  const { headers } = await app.inject({
    path: '/',
    headers: sends === '' ? {} : { cookie: sends },
  })
  await app.close()
  return { lines: [headers['set-cookie'] ?? []].flat(), request }
}

const headerOf = async (cookie: CredentialCookie) => (await responseWith([cookie])).lines[0] ?? ''

test('R50: a credential cookie is host-only, secure, hidden from scripts and explicit about its age', async () => {
  const options = { maxAgeSeconds: 1_209_600, sameSite: 'strict' } as const
  const header = await headerOf(credentialCookie(name, 'AbC-_9', options))
  expect(header).toBe(`${name}=AbC-_9; Max-Age=1209600; Path=/; HttpOnly; Secure; SameSite=Strict`)
  expect(header).not.toMatch(/domain/i)
  expect(
    await headerOf(credentialCookie(name, 'x', { maxAgeSeconds: 1, sameSite: 'lax' })),
  ).toContain('SameSite=Lax')
})

test('R50: a cookie of a domain names it, and one without an age ends with the browser', async () => {
  const options = { maxAgeSeconds: undefined, sameSite: 'lax', domain: 'example.com' } as const
  expect(await headerOf(credentialCookie('__Secure-cardea-session', 'a', options))).toBe(
    '__Secure-cardea-session=a; Domain=example.com; Path=/; HttpOnly; Secure; SameSite=Lax',
  )
})

test('cookies are set in their order, also with the response to an error', async () => {
  const set = ['__Host-b', '__Host-a', '__Host-c'].map((one) =>
    credentialCookie(one, 'x', { maxAgeSeconds: 1, sameSite: 'lax' }),
  )
  for (const fails of [false, true]) {
    const { lines } = await responseWith(set, { fails })
    expect(lines.map((line) => line.split('=', 1)[0])).toEqual(['__Host-b', '__Host-a', '__Host-c'])
  }
  expect((await responseWith([])).lines).toEqual([])
})

test('R57: the plugin reads no cookies for a request, so that nobody takes the first of two of a name', async () => {
  const { request } = await responseWith([], { sends: `${name}=a; ${name}=b` })
  expect(request).toBeNull()
})

test('R50: a cookie is deleted with the attributes it was set with', async () => {
  const set = await headerOf(
    credentialCookie(name, 'value', { maxAgeSeconds: 60, sameSite: 'lax' }),
  )
  const expired = await headerOf(expiredCookie(name, { sameSite: 'lax' }))
  expect(expired).toBe(set.replace('=value', '=').replace('Max-Age=60', 'Max-Age=0'))
})

test('R50: a name without the prefix, a value that is not opaque and a pair over 4096 bytes are refused', async () => {
  const options = { maxAgeSeconds: 1, sameSite: 'strict' } as const
  expect(() => credentialCookie('cardea', 'x', options)).toThrow(TypeError)
  for (const value of ['a;b', 'a b', 'a"b', 'a,b', 'a\nb', 'ä']) {
    expect(() => credentialCookie(name, value, options), value).toThrow(TypeError)
  }
  const fits = 4096 - name.length
  expect(await headerOf(credentialCookie(name, 'a'.repeat(fits), options))).toContain('HttpOnly')
  expect(() => credentialCookie(name, 'a'.repeat(fits + 1), options)).toThrow(TypeError)
})

test('R57: only an exact single match is used', () => {
  expect(read(undefined)).toBeUndefined()
  expect(read('')).toBeUndefined()
  expect(read(`a=1; ${name}=v; b=2`)).toBe('v')
  expect(read(`${name}=a=b`)).toBe('a=b')
  expect(read(`__host-cardea-refresh=x; ${name}=v`)).toBe('v')
  expect(read('__HOST-CARDEA-REFRESH=x')).toBeUndefined()
  expect(read(`${name}-old=x; x${name}=y; =${name}=z`)).toBeUndefined()
})

test('R49 R57: two cookies of our name are refused, also when they are equal', () => {
  for (const header of [
    `${name}=a; ${name}=b`,
    `${name}=a;${name}=a`,
    `${name}=a; x=1;  ${name}=`,
  ]) {
    expect(() => read(header), header).toThrow(
      expect.objectContaining({ code: 'duplicate_cookie', status: 400 }),
    )
  }
})

test.each(['\u00a0', '\u0085', '\ufeff', '\u2003', '\v', '\f'])(
  'R57: a cookie whose name is ours after %j is another one, as it is for browsers',
  (blank) => {
    expect(read(`a=b; ${blank}${name}=planted`)).toBeUndefined()
    expect(read(`${blank}${name}=planted;\t ${name}=ours \t`)).toBe('ours')
  },
)

test('R62: reading a cookie refuses the request of a page of another site, whatever it sent', () => {
  for (const header of [`${name}=v`, undefined]) {
    const request = { ...requestWith(header), isFromOtherSite: true }
    expect(() => singleCookie(request, name)).toThrow(
      expect.objectContaining({ code: 'cross_site_origin', status: 403 }),
    )
  }
})

test('the header is read once a request, however many ask', () => {
  const request = requestWith(`a=1; ${name}=v`)
  const cookies = cookiesOf(request)
  expect(singleCookie(request, name)).toBe('v')
  expect(cookiesOf(request)).toBe(cookies)
})
