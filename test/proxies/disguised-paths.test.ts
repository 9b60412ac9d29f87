import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EchoBackend, startEchoBackend } from '../support/programs/echo-backend.ts'
import type { RunningProxy } from '../support/programs/proxy-process.ts'
import { proxyNames, startReverseProxy } from '../support/programs/reverse-proxies.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { type Browser, receivedIn, startBrowser, statusOf } from './browser.ts'

let cardea: Cardea
let app: EchoBackend

beforeAll(async () => {
  cardea = await startCardea({ config: { trustedProxies: ['127.0.0.1/32'] } })
  app = await startEchoBackend()
})

afterAll(async () => {
  await app?.stop()
  await cardea?.stop()
})

/** Plainly under the rule, as every app and every proxy reads them. */
const ofStaff = [
  ...['/staff', '/staff/plan', '/%73taff/plan', '/STAFF/plan', '/staff;v=1/plan', '/staff.json'],
  ...['/staff%3Fx', '/staff/plan?role=reader'],
]

/** /staff to who takes them apart, and something else to who does not. */
const inward = [
  '/x/../staff/plan',
  '/./staff/plan',
  '/x/..%2Fstaff/plan',
  '/x/%2e%2e/staff/plan',
  '/x/%2E%2E%2Fstaff',
  '/x/.%2e/staff',
  '/x%2f..%2fstaff',
  '//staff/plan',
  '/%2fstaff',
  '/;/staff/plan',
  '/;x=1/staff',
  '/x/..;/staff/plan',
  '/x/..%3b/staff/plan',
  '/x/..;v=1/staff',
  '/x%2f..;/staff',
  '/\\staff',
  '/x/..\\staff',
  '/x/..%5Cstaff',
  // /staff to who reads it as a URL without a scheme.
  '//x/staff',
  '/%2Fx/staff',
  '/\\x/staff',
  // Readers of URLs leave tabs and line ends out.
  '/st%09aff',
  '/%0Astaff',
  '/%0d%0astaff',
  '/%00/staff',
  '/x%7f/../staff',
]

/** Something else to who takes them apart, and /staff to who does not. */
const outward = [
  ...['/staff/..%2fx', '/staff/..%2Fx', '/staff/%2e%2e/x', '/staff/%2E%2E/x', '/staff/../x'],
  ...['/staff/plan/../../x', '/staff%2f..%2fx', '/staff/%2e%2e', '/staff/%2e.?x', '/staff/..'],
  ...['/staff/../', '/staff/..?x', '/staff/.', '/staff/..;/x', '/x\\..\\staff', '/staff\\..\\x'],
  ...['/staff%5c..%5cx', '/#/../staff', '/x#/../../staff', '/staff#/../../x'],
]

/** No path to who decodes them strictly, and to others still one. */
const broken = ['/staff/%zz', '/%zz/../staff', '/staff%', '/staff%2', '/%u0073taff', '/staff/%%']

/** Odd, and no disguise. */
const harmless = [
  ...['/x..y/...', '/.hidden/..x', '/a;b=1/c', '/a%2Fb%3Bc', '/100%25', '/x%23y'],
  ...['/x?next=/../staff', '/x?to=//y;/z%5C%0A'],
]

describe.each(proxyNames)('%s', (name) => {
  let proxy: RunningProxy
  let reader: Browser

  const loggedIn = async (roles: readonly string[]) => {
    const browser = startBrowser(proxy.port)
    const answer = await browser.logIn('/login', await cardea.createAccount(roles))
    expect(answer.status, answer.text).toBe(303)
    return browser
  }

  beforeAll(async () => {
    const { host } = new URL(cardea.client.address)
    proxy = await startReverseProxy(name, { cardea: host, app: app.address })
    reader = await loggedIn(['reader'])
  })

  afterAll(async () => await proxy?.stop())

  /** With the reader's session, as it stands here. */
  const statusOfLine = async (requestLine: string, headers: readonly string[]) => {
    const cookie = '__Host-cardea-session'
    const own = `Cookie: ${cookie}=${reader.cookie(cookie)}`
    return await statusOf(proxy.port, requestLine, [...headers, own])
  }

  test('a path that wants a role is 403 without it, also for a person, in whatever spelling', async () => {
    const count = app.count()
    for (const path of ofStaff) {
      const answer = await reader.open(path)
      expect([path, answer.status, answer.location]).toEqual([path, 403, undefined])
    }
    expect(app.count()).toBe(count)
    expect((await (await loggedIn(['staff'])).open('/staff/plan')).status).toBe(200)
  })

  test.each([
    ['leads to', inward],
    ['leads away from', outward],
    ['is not decoded to', broken],
  ])(
    'a path that only %s what wants a role does not reach the app without it',
    async (_, paths) => {
      const count = app.count()
      for (const path of paths) {
        expect([400, 403], path).toContain(
          await statusOfLine(`GET ${path} HTTP/1.1`, ['Host: www.example.com']),
        )
      }
      expect(app.count()).toBe(count)
    },
  )

  test('every other path reaches the app as it was sent', async () => {
    for (const path of harmless) {
      expect(receivedIn(await reader.open(path)).url).toBe(path)
    }
  })

  test('a whole URL, another version and what is no path at all find no way around the role', async () => {
    const count = app.count()
    const host = ['Host: www.example.com']
    const refused = [400, 403, 503]
    for (const target of [
      ...['http://www.example.com/staff', 'HTTP://www.example.com/staff'],
      ...['http://www.example.com//x/staff', 'http://www.example.com/staff/..%2fx'],
      ...['http://user@www.example.com/staff', 'http://other.example/staff'],
      ...['ftp://www.example.com/staff', 'x:staff', 'x:/staff', 'x:%2fstaff', 'staff'],
      ...['/x\t/staff', '/x /staff', '*'],
    ]) {
      expect(refused, target).toContain(await statusOfLine(`GET ${target} HTTP/1.1`, host))
    }
    expect(refused).toContain(await statusOfLine('CONNECT www.example.com:443 HTTP/1.1', host))
    expect(refused).toContain(await statusOfLine('GET /staff HTTP/1.0', []))
    expect(refused).toContain(await statusOfLine('GET http://www.example.com/staff HTTP/1.0', host))
    expect(app.count()).toBe(count)
  })

  test('of a whole URL the app gets the path that the rule was found by', async () => {
    const url = `http://127.0.0.1:${proxy.port}/x/staff?a=b`
    const received = receivedIn(await reader.open(url))
    expect(received.url).toBe('/x/staff?a=b')
  })
})
