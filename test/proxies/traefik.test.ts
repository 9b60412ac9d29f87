import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parse } from 'yaml'

type Router = { readonly rule: string; readonly service: string; readonly middlewares?: string[] }

type Check = Readonly<Record<string, unknown>>

type Dynamic = {
  readonly http: {
    readonly routers: Readonly<Record<string, Router>>
    readonly middlewares: Readonly<Record<string, { readonly forwardAuth?: Check }>>
    readonly services: Readonly<Record<string, unknown>>
  }
}

const text = await readFile('deploy/proxies/traefik/cardea.yml', 'utf8')
const { routers, middlewares, services }: Dynamic['http'] = parse(text, { merge: true }).http

const checks = Object.entries(middlewares).flatMap(([name, { forwardAuth }]) =>
  forwardAuth ? [[name, forwardAuth] as const] : [],
)

test('R58: every way to the app passes exactly one check, and no other way has one', () => {
  const names = checks.map(([name]) => name)
  for (const [name, router] of Object.entries(routers)) {
    const passed = router.middlewares?.filter((one) => names.includes(one)) ?? []
    expect([name, passed.length]).toEqual([name, router.service === 'app' ? 1 : 0])
    expect(Object.keys({ ...services, 'noop@internal': true })).toContain(router.service)
    for (const one of router.middlewares ?? []) expect(Object.keys(middlewares)).toContain(one)
  }
  expect(checks.length).toBeGreaterThan(1)
})

test('R59: every check replaces what the client wrote, and sends no more along than can be a credential', () => {
  for (const [name, check] of checks) {
    expect(Object.keys(check).toSorted()).toEqual([
      'address',
      'authRequestHeaders',
      'authResponseHeadersRegex',
      'preserveLocationHeader',
      'trustForwardHeader',
    ])
    expect(check['trustForwardHeader']).toBe(false)
    expect(check['preserveLocationHeader']).toBe(true)
    const { pathname, searchParams } = new URL(`${check['address']}`)
    expect(pathname).toBe('/forward-auth')
    // A token opens only what names the service that it must be made for.
    const takesTokens = name === 'api'
    expect(check['authRequestHeaders']).toEqual([
      'Accept',
      ...(takesTokens ? ['Authorization'] : []),
      'Cookie',
    ])
    expect(searchParams.has('audience')).toBe(takesTokens)
  }
})

test('a path that apps could read in other ways than Traefik goes nowhere, and no other path', () => {
  const pattern = /PathRegexp\(`\(\?i\)([^`]+)`\)/.exec(routers['disguised']?.rule ?? '')?.[1]
  const disguised = new RegExp(pattern ?? '(?!)', 'i')
  for (const path of [
    ...['/staff/..%2Fx', '/staff%2F..%2Fx', '/staff%2f..', '/x/..;/staff', '/x%2F..%3Bstaff'],
    ...['/;/staff', '/%2Fstaff', '/x\\..\\staff', '/x%5C..%5Cstaff', '/st%09aff', '/x%00'],
  ]) {
    expect(path).toMatch(disguised)
  }
  for (const path of ['/', '/x/', '/staff;v=1', '/a%2Fb', '/x..y', '/.hidden', '/100%25']) {
    expect(path).not.toMatch(disguised)
  }
})

test('R60: the pattern of every check takes an identity header in any spelling, and no other header', () => {
  for (const [, check] of checks) {
    const pattern = new RegExp(`${check['authResponseHeadersRegex']}`.replace('(?i)', ''), 'i')
    for (const name of ['X-Auth-Account', 'x_auth_account', 'X.Auth.Account', 'Authorization']) {
      expect(name).toMatch(pattern)
    }
    for (const name of ['X-Author', 'Proxy-Authorization', 'Cookie', 'Accept']) {
      expect(name).not.toMatch(pattern)
    }
  }
})
