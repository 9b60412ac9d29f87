import { describe, expect, test } from 'vitest'
import { safeReturnPath } from '../../src/forward-auth/return-path.ts'

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

  test.each([
    ['nothing', ''],
    ['another host', '//evil.example'],
    ['another host', '///evil.example'],
    ['another host', '//evil.example/%2f..'],
    ['another host', '/\\evil.example'],
    ['another host', '\\\\evil.example'],
    ['another host', '\\/evil.example'],
    ['a backslash further on', '/a\\b'],
    ['a backslash in the query', '/a?b=\\c'],
    ['an absolute address', 'https://evil.example/'],
    ['an absolute address', 'https:/evil.example'],
    ['an absolute address', 'HTTPS:evil.example'],
    ['a script', 'javascript:alert(1)'],
    ['a script', 'JaVaScRiPt:alert(1)'],
    ['a script', 'java\tscript:alert(1)'],
    ['a document', 'data:text/html,x'],
    ['a relative address', 'reports'],
    ['a relative address', '?a=b'],
    ['a relative address', './/evil.example'],
    ['a fragment', '/a#b'],
    ['a blank', ' /a'],
    ['a blank', '/a b'],
    ['a tab, which browsers skip', '/\t/evil.example'],
    ['a line end, which browsers skip', '/\n/evil.example'],
    ['a line end for the header', '/a\r\nset-cookie: x=y'],
    ['a null character', '/a\0'],
    ['a character outside of ASCII', '/café'],
    ['a wide slash', '/／evil.example'],
    ['another host, encoded', '/%2Fevil.example'],
    ['another host, encoded', '/%2fevil.example'],
    ['another host, encoded', '/%5Cevil.example'],
    ['another host, encoded', '%2F%2Fevil.example'],
    ['another host, encoded', '%5C%5Cevil.example'],
    ['another host, encoded twice', '/%252Fevil.example'],
    ['another host, encoded twice', '/%255Cevil.example'],
    ['a script, encoded', 'javascript%3Aalert(1)'],
    ['a line end, encoded', '/a%0d%0aset-cookie:%20x=y'],
    ['a line end, encoded twice', '/a%250Ab'],
    ['a tab, encoded', '/%09/evil.example'],
    ['a null character, encoded', '/a%00'],
    ['a backslash, encoded', '/a%5cb'],
    ['another host behind dots', '/.//evil.example'],
    ['another host behind dots', '/a/..//evil.example'],
    ['another host behind dots', '/a/%2E%2e//evil.example'],
    ['another host behind dots, encoded', '/a/..%2F/evil.example'],
    ['the login page behind dots, encoded', '/a/..%2flogin'],
    ['the login page behind dots, encoded twice', '/a/%252e%252e/login'],
    ['a broken escape', '/a%'],
    ['a broken escape', '/a%zz'],
    ['an escape that is no UTF-8', '/a%ff'],
    ['an overlong encoding of a slash', '/%c0%af'],
    ['the login page', '/login'],
    ['the login page', '/login?return=x'],
    ['the login form', '/login/form'],
    ['the login page in capitals', '/LOGIN'],
    ['the login page, encoded', '/%6cogin'],
    ['the login page, encoded twice', '/%256cogin'],
    ['the login page behind dots', '/a/../login'],
    ['the check itself', '/forward-auth'],
    ['the check itself', '/forward-auth?role=x'],
    ['the check itself', '/./forward-auth/'],
  ])('must not be %s: %j', (_what, given) => {
    expect(safeReturnPath(given)).toBeUndefined()
  })

  test('has one KiB, also once it has been encoded as browsers do', () => {
    expect(safeReturnPath(`/${'a'.repeat(1023)}`)).toHaveLength(1024)
    expect(safeReturnPath(`/${'a'.repeat(1024)}`)).toBeUndefined()
    expect(safeReturnPath(`/${'"'.repeat(400)}`)).toBeUndefined()
  })

  test('never leads off the host, whatever 20,000 texts are made of these pieces', () => {
    const pieces = [
      '/',
      '\\',
      '%2f',
      '%5C',
      '%252f',
      '.',
      '..',
      '%2e',
      ':',
      '@',
      'x',
      '?',
      '#',
      '\t',
    ]
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
