import { parseSetCookie } from 'cookie'
import { expect, test } from 'vitest'
import {
  cookiesOf,
  credentialCookie,
  expiredCookie,
  singleCookie,
} from '../../src/http/browser-requests.ts'

const name = '__Host-cardea-refresh'

const requestWith = (cookie: string | undefined) => ({
  headers: cookie === undefined ? {} : { cookie },
  cookiesRead: undefined,
  isFromOtherSite: false,
})

const read = (cookie: string | undefined) => singleCookie(requestWith(cookie), name)

test('R50: a credential cookie is host-only, secure, hidden from scripts and explicit about its age', () => {
  const header = credentialCookie(name, 'AbC-_9', { maxAgeSeconds: 1_209_600, sameSite: 'strict' })
  expect(parseSetCookie(header)).toEqual({
    name,
    value: 'AbC-_9',
    maxAge: 1_209_600,
    path: '/',
    secure: true,
    httpOnly: true,
    sameSite: 'strict',
  })
  expect(header).not.toMatch(/domain/i)
  expect(credentialCookie(name, 'x', { maxAgeSeconds: 1, sameSite: 'lax' })).toContain(
    'SameSite=Lax',
  )
})

test('R50: a cookie is deleted with the attributes it was set with', () => {
  const set = credentialCookie(name, 'value', { maxAgeSeconds: 60, sameSite: 'lax' })
  const expired = expiredCookie(name, { sameSite: 'lax' })
  expect(expired).toBe(set.replace('=value', '=').replace('Max-Age=60', 'Max-Age=0'))
})

test('R50: a name without the prefix, a value that is not opaque and a pair over 4096 bytes are refused', () => {
  const options = { maxAgeSeconds: 1, sameSite: 'strict' } as const
  expect(() => credentialCookie('cardea', 'x', options)).toThrow(TypeError)
  for (const value of ['a;b', 'a b', 'a"b', 'a,b', 'a\nb', 'ä']) {
    expect(() => credentialCookie(name, value, options), value).toThrow(TypeError)
  }
  const fits = 4096 - name.length
  expect(credentialCookie(name, 'a'.repeat(fits), options)).toContain('HttpOnly')
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
