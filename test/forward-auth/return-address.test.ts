import { describe, expect, test } from 'vitest'
import {
  type ReturnRules,
  returnAddressOf,
  safeReturnAddress,
} from '../../src/forward-auth/return-address.ts'
import { plainReturnRules } from '../support/service/return-address.ts'

const safeReturnPath = (text: string) => safeReturnAddress(text, plainReturnRules)

describe('a return address', () => {
  test.each([
    ['/', '/'],
    ['/reports', '/reports'],
    ['/reports?year=2026&sort=-name', '/reports?year=2026&sort=-name'],
    ['/a/b/c.html', '/a/b/c.html'],
    ['/caf%C3%A9?q=%C3%BC', '/caf%C3%A9?q=%C3%BC'],
    ['/search?q=100%25', '/search?q=100%25'],
    ['/search?q=a%20b+c', '/search?q=a%20b+c'],
    ['/open?next=https%3A%2F%2Fexample.com%2F', '/open?next=https%3A%2F%2Fexample.com%2F'],
    ['/logins', '/logins'],
    ['/login-help', '/login-help'],
    ['/my/login', '/my/login'],
    ['/a/./b', '/a/b'],
    ['/a/../b', '/b'],
    ['/a/%2e%2e/b', '/b'],
    ['/../../b', '/b'],
    ['/a//b', '/a//b'],
    ['/a:b@c', '/a:b@c'],
  ])('%j is a page of this host, and is read as %j', (given, path) => {
    expect(safeReturnPath(given)).toBe(path)
  })

  const unsafe: Readonly<Record<string, readonly string[]>> = {
    nothing: [''],
    'another host': [
      ...['//evil.example', '///evil.example', '//evil.example/%2f..', '/\\evil.example'],
      ...['\\\\evil.example', '\\/evil.example', '/／evil.example'],
    ],
    'a backslash further on': ['/a\\b', '/a?b=\\c', '/a%5cb'],
    'an absolute address': ['https://evil.example/', 'https:/evil.example', 'HTTPS:evil.example'],
    'a script': [
      ...['javascript:alert(1)', 'JaVaScRiPt:alert(1)', 'java\tscript:alert(1)'],
      ...['javascript%3Aalert(1)', 'data:text/html,x'],
    ],
    'a relative address': ['reports', '?a=b', './/evil.example'],
    'a fragment': ['/a#b'],
    'a blank': [' /a', '/a b'],
    'a tab or a line end, which browsers skip': ['/\t/evil.example', '/\n/evil.example'],
    'the same, encoded': ['/%09/evil.example', '/a%250Ab'],
    'a line end for the header': ['/a\r\nset-cookie: x=y', '/a%0d%0aset-cookie:%20x=y'],
    'a null character': ['/a\0', '/a%00'],
    'a character outside of ASCII': ['/café'],
    'another host, encoded': [
      ...['/%2Fevil.example', '/%2fevil.example', '/%5Cevil.example', '%2F%2Fevil.example'],
      ...['%5C%5Cevil.example', '/%252Fevil.example', '/%255Cevil.example'],
    ],
    'another host behind dots': [
      ...['/.//evil.example', '/a/..//evil.example', '/a/%2E%2e//evil.example'],
      '/a/..%2F/evil.example',
    ],
    'a broken escape': ['/a%', '/a%zz'],
    'an escape that is no UTF-8, or overlong': ['/a%ff', '/%c0%af'],
    'the login page': [
      ...['/login', '/login?return=x', '/login/form', '/LOGIN', '/%6cogin', '/%256cogin'],
      ...['/a/../login', '/a/..%2flogin', '/a/%252e%252e/login'],
    ],
    'the check itself': ['/forward-auth', '/forward-auth?role=x', '/./forward-auth/'],
  }

  test.each(Object.entries(unsafe))('must not be %s: %j', (_what, texts) => {
    for (const text of texts) expect(safeReturnPath(text), text).toBeUndefined()
  })

  test('has one KiB, also once it has been encoded as browsers do', () => {
    expect(safeReturnPath(`/${'a'.repeat(1023)}`)).toHaveLength(1024)
    expect(safeReturnPath(`/${'a'.repeat(1024)}`)).toBeUndefined()
    expect(safeReturnPath(`/${'"'.repeat(400)}`)).toBeUndefined()
  })

  test('never leads off the host, whatever 20,000 texts are made of these pieces', () => {
    const pieces = '/ \\ %2f %5C %252f . .. %2e : @ x ? #'.split(' ').concat('\t')
    // A fixed sequence: what fails here fails again.
    let state = 1
    const next = (bound: number): number => {
      state = (state * 48_271) % 2_147_483_647
      return state % bound
    }
    let accepted = 0
    for (let turn = 0; turn < 20_000; turn += 1) {
      const text = Array.from({ length: 1 + next(8) }, () => pieces[next(pieces.length)]).join('')
      const path = safeReturnPath(`/${text}`)
      if (path === undefined) continue
      accepted += 1
      for (const reading of [path, decodeURIComponent(path)]) {
        expect(new URL(reading, 'https://app.example').origin, reading).toBe('https://app.example')
      }
    }
    expect(accepted).toBeGreaterThan(500)
  })
})

describe('a return address with a base path', () => {
  const rules = { ...plainReturnRules, basePath: '/auth' }

  test.each([
    '/auth/login',
    '/auth/login/form',
    '/auth/logout?x',
    '/auth/forward-auth',
    '/x/../auth/login',
  ])('must not be %s, which is a page of this service', (path) => {
    expect(safeReturnAddress(path, rules)).toBeUndefined()
  })

  test.each(['/login', '/forward-auth', '/auth/logins', '/auth2/login', '/auth'])(
    'may be %s, which is none',
    (path) => {
      expect(safeReturnAddress(path, rules)).toBe(path)
    },
  )
})

describe('a return address with a cookie domain', () => {
  const rules: ReturnRules = {
    basePath: '',
    ownHost: 'auth.example.com',
    cookieDomain: 'example.com',
    returnHosts: undefined,
  }

  test.each([
    ['https://wiki.example.com/', 'https://wiki.example.com/'],
    ['https://wiki.example.com/a/../b?c=d', 'https://wiki.example.com/b?c=d'],
    ['https://example.com/a', 'https://example.com/a'],
    ['https://a.b.c.example.com/a', 'https://a.b.c.example.com/a'],
    ['https://wiki.example.com:8443/a', 'https://wiki.example.com:8443/a'],
    ['https://wiki.example.com:443/a', 'https://wiki.example.com/a'],
    ['https://wiki.example.com/login', 'https://wiki.example.com/login'],
    ['https://auth.example.com/account', 'https://auth.example.com/account'],
    ['/a', '/a'],
  ])('%j leads to %j', (given, address) => {
    expect(safeReturnAddress(given, rules)).toBe(address)
  })

  const unsafe: Readonly<Record<string, readonly string[]>> = {
    'another domain': [
      ...['https://evil.example/', 'https://evilexample.com/', 'https://example.com.evil.example/'],
    ],
    'a user before the host': [
      ...['https://wiki.example.com@evil.example/', 'https://user@wiki.example.com/'],
    ],
    'no TLS': ['http://wiki.example.com/', 'HTTPS://wiki.example.com/'],
    'another scheme': ['javascript://wiki.example.com/%0aalert(1)'],
    'no path': ['https://wiki.example.com', 'https://wiki.example.com?a=b'],
    'a backslash': [
      ...['https://wiki.example.com\\@evil.example/', 'https://wiki.example.com/\\evil.example'],
    ],
    'two slashes behind the host': ['https://wiki.example.com//evil.example'],
    'a dot or label too many': [
      ...['https://wiki.example.com./', 'https://.example.com/', 'https://a..example.com/'],
    ],
    'a host in another spelling': [
      ...['https://Wiki.example.com/', 'https://wiki%2eexample.com/', 'https://wiki．example.com/'],
    ],
    'a port that is none': ['https://wiki.example.com:99999/', 'https://wiki.example.com:/'],
    'a tab or a line end': [
      ...['https://wiki\t.example.com/', 'https://wiki.example.com/a\r\nset-cookie: x=y'],
    ],
    'an address of IP, or nothing': ['https://127.0.0.1/', 'https:///a'],
    'a page of this service': [
      ...['https://auth.example.com/login?return=x', 'https://auth.example.com/logout'],
      'https://auth.example.com/%6cogin',
    ],
  }

  test.each(Object.entries(unsafe))('must not have %s: %j', (_what, texts) => {
    for (const text of texts) expect(safeReturnAddress(text, rules), text).toBeUndefined()
  })

  test('names listed hosts only, where there is a list', () => {
    const listed = { ...rules, returnHosts: ['wiki.example.com', 'shop.example.com:8443'] }
    expect(safeReturnAddress('https://wiki.example.com/a', listed)).toBeDefined()
    expect(safeReturnAddress('https://shop.example.com:8443/a', listed)).toBeDefined()
    const hosts = 'shop.example.com wiki.example.com:8443 a.wiki.example.com example.com'
    for (const host of hosts.split(' ')) {
      expect(safeReturnAddress(`https://${host}/a`, listed), host).toBeUndefined()
    }
  })

  test('is what a proxy was asked for, the start page of that host, or / of this one', () => {
    const cases = [
      ['wiki.example.com', '/a?b=c', 'https://wiki.example.com/a?b=c'],
      ['WIKI.Example.com', '/a', 'https://wiki.example.com/a'],
      ['wiki.example.com', '//evil.example', 'https://wiki.example.com/'],
      ['wiki.example.com', undefined, 'https://wiki.example.com/'],
      ['wiki.example.com', '@evil.example/', 'https://wiki.example.com/'],
      ['wiki.example.com', '.evil.example/', 'https://wiki.example.com/'],
      ['wiki.example', '.com/a', '/'],
      ['auth.example.com', '/login', 'https://auth.example.com/'],
      ['evil.example', '/a', '/'],
      ['wiki.example.com, evil.example', '/a', '/'],
      [undefined, '/a', '/'],
    ] as const
    for (const [host, uri, address] of cases) {
      expect(returnAddressOf({ host, uri }, rules), `${host} ${uri}`).toBe(address)
    }
    // Without a cookie domain the host is not looked at.
    expect(returnAddressOf({ host: 'evil.example', uri: '/a' }, plainReturnRules)).toBe('/a')
  })
})
