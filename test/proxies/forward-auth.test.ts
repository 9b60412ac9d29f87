import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Cardea, startCardea } from '../support/cardea.ts'
import { type EchoBackend, startEchoBackend } from '../support/echo-backend.ts'
import { type FakeClock, fakeClock } from '../support/fake-clock.ts'
import { fetchTimeoutMs } from '../support/find-proxy.ts'
import type { RunningProxy } from '../support/proxy-process.ts'
import { proxyNames, startReverseProxy } from '../support/reverse-proxies.ts'
import { ask, receivedIn, startBrowser, valuesOf } from './browser.ts'

let cardea: Cardea
let app: EchoBackend
let clock: FakeClock

beforeAll(async () => {
  clock = fakeClock()
  cardea = await startCardea({ clock, config: { trustedProxies: ['127.0.0.1/32'] } })
  app = await startEchoBackend()
})

afterAll(async () => {
  await app?.stop()
  await cardea?.stop()
})

const sessionCookie = '__Host-cardea-session'

describe.each(proxyNames)('%s', (name) => {
  let proxy: RunningProxy

  beforeAll(async () => {
    const { host } = new URL(cardea.client.address)
    proxy = await startReverseProxy(name, { cardea: host, app: app.address })
  }, fetchTimeoutMs)

  afterAll(async () => await proxy?.stop())

  /** A browser that is signed in, by the form of the login page. */
  const signedIn = async (roles: readonly string[] = []) => {
    const account = await cardea.createAccount(roles)
    const browser = startBrowser(proxy.port)
    const answer = await browser.signIn('/login', account)
    expect(answer.status, answer.text).toBe(303)
    return { account, browser }
  }

  /** The credential of the signed-in browser, for requests that no browser sends. */
  const cookieOf = (browser: ReturnType<typeof startBrowser>) =>
    ['Cookie', `${sessionCookie}=${browser.cookie(sessionCookie)}`] as const

  test('R58: a person who is signed out comes to the login page, signs in and is back where they were', async () => {
    const account = await cardea.createAccount(['reader'])
    const browser = startBrowser(proxy.port)
    const count = app.count()
    const first = await browser.open('/reports/2026?month=11&order=a%2Fb')
    expect(first.status).toBe(303)
    expect(first.location).toMatch(/^\/login\?return=[\w.-]+$/)
    expect(first.header('cache-control')).toBe('no-store')
    expect(app.count()).toBe(count)
    const back = await browser.signIn(first.location ?? '', account)
    expect(back.status).toBe(303)
    expect(back.location).toBe('/reports/2026?month=11&order=a%2Fb')
    const page = await browser.open(back.location ?? '')
    expect(page.status).toBe(200)
    const received = receivedIn(page)
    expect(received.url).toBe('/reports/2026?month=11&order=a%2Fb')
    expect(valuesOf(received, 'X-Auth-Account')).toEqual([account.id])
    expect(valuesOf(received, 'X-Auth-Roles')).toEqual(['reader'])
    expect(valuesOf(received, 'X-Auth-Session')).toHaveLength(1)
    expect(valuesOf(received, 'Authorization')).toEqual([])
  })

  test('R58: a program without a session, with a made-up one or with a bad token gets 401 and no way to a page', async () => {
    const count = app.count()
    const credentials = [
      [],
      [['Cookie', `${sessionCookie}=${'A'.repeat(115)}`]],
      [['Authorization', 'Bearer made.up.token']],
      [['Authorization', 'Basic dXNlcjpwYXNz']],
    ] as const
    for (const headers of credentials) {
      const answer = await ask(proxy.port, '/data', { headers })
      expect(answer.status).toBe(401)
      expect(answer.location).toBeUndefined()
    }
    // Posting a form while signed out would lose it: that is for the app's page to handle.
    const posted = await startBrowser(proxy.port).open('/data', { method: 'POST', body: 'a=b' })
    expect(posted.status).toBe(401)
    expect(app.count()).toBe(count)
  })

  test('R58: a bearer token opens what a session opens, and is not passed on unless the rule says so', async () => {
    const account = await cardea.createAccount()
    const { accessToken } = await cardea.client.logIn(account)
    const headers = [['Authorization', `Bearer ${accessToken}`]] as const
    const plain = receivedIn(await ask(proxy.port, '/data', { headers }))
    expect(valuesOf(plain, 'X-Auth-Account')).toEqual([account.id])
    expect(valuesOf(plain, 'Authorization')).toEqual([])
    const api = receivedIn(await ask(proxy.port, '/api/data', { headers }))
    expect(valuesOf(api, 'Authorization')).toEqual([`Bearer ${accessToken}`])
  })

  test('a path that wants a role is 403 without it, also for a person, in whatever spelling', async () => {
    const { browser } = await signedIn(['reader'])
    const count = app.count()
    const plain = ['/staff', '/staff/plan', '/%73taff/plan', '/STAFF/plan', '/staff;v=1/plan']
    for (const path of [...plain, '/staff.json', '/staff/plan?role=reader']) {
      const answer = await browser.open(path)
      expect([path, answer.status]).toEqual([path, 403])
      expect(answer.location).toBeUndefined()
    }
    const dotted = [
      '/x/../staff/plan',
      '/./staff/plan',
      '/x/..%2Fstaff/plan',
      '/x/%2e%2e/staff/plan',
    ]
    const disguised = ['//staff/plan', '/;/staff/plan', '/x/..;/staff/plan', '/x/..%3b/staff/plan']
    for (const path of [...dotted, ...disguised]) {
      expect([400, 403], path).toContain((await browser.open(path)).status)
    }
    expect(app.count()).toBe(count)
    const { browser: colleague } = await signedIn(['staff'])
    expect((await colleague.open('/staff/plan')).status).toBe(200)
  })

  test('a path that wants a recent sign-in leads to the login page once more, and back', async () => {
    const { account, browser } = await signedIn()
    expect((await browser.open('/billing/card')).status).toBe(200)
    clock.advance(301_000)
    expect((await browser.open('/reports')).status).toBe(200)
    const asked = await browser.open('/billing/card?id=7')
    expect(asked.status).toBe(303)
    const program = await browser.fetch('/billing/card')
    expect(program.status).toBe(401)
    const back = await browser.signIn(asked.location ?? '', account)
    expect(back.location).toBe('/billing/card?id=7')
    expect((await browser.open('/billing/card?id=7')).status).toBe(200)
  })

  test('a path that wants a token gets one of this session, and the client cannot ask for one elsewhere', async () => {
    const { account, browser } = await signedIn(['reader'])
    const received = receivedIn(await browser.fetch('/api/data'))
    const [authorization = '', ...more] = valuesOf(received, 'Authorization')
    expect(more).toEqual([])
    const claims = decodeJwt(authorization.replace(/^Bearer /, ''))
    expect(claims.sub).toBe(account.id)
    expect(claims['sid']).toBe(valuesOf(received, 'X-Auth-Session')[0])
    const elsewhere = receivedIn(await browser.fetch('/data?token=1&max_age=x&role=none'))
    expect(elsewhere.url).toBe('/data?token=1&max_age=x&role=none')
    expect(valuesOf(elsewhere, 'Authorization')).toEqual([])
  })

  test('R60: the app sees one value of each identity header, the right one, whatever the client wrote', async () => {
    const { account, browser } = await signedIn(['reader'])
    const spellings = (header: string) => [
      header,
      header.toLowerCase(),
      header.toUpperCase(),
      header.replaceAll('-', '_'),
      header.replaceAll('-', '.'),
      header.toLowerCase().replace('-', '_'),
      header.toLowerCase().replace('-', '.'),
      header.replace(/-(?=[^-]*$)/, '_'),
      header.replace(/-(?=[^-]*$)/, '.'),
      header.replaceAll('-', '~'),
    ]
    const forged = ['X-Auth-Account', 'X-Auth-Roles', 'X-Auth-Session']
      .flatMap(spellings)
      .map((header) => [header, 'forged'] as const)
    // Once with both names of a header also in Connection, which asks proxies on the way to drop it.
    const dropping = ['Connection', 'close, X-Auth-Account, X-Auth-Roles, X-Auth-Session'] as const
    for (const headers of [forged, [...forged, dropping], [dropping]]) {
      const answer = await browser.open('/reports', { headers })
      const received = receivedIn(answer)
      expect(valuesOf(received, 'X-Auth-Account')).toEqual([account.id])
      expect(valuesOf(received, 'X-Auth-Roles')).toEqual(['reader'])
      expect(valuesOf(received, 'X-Auth-Session')).toHaveLength(1)
      // Who it is, is between Cardea and the app.
      expect(answer.header('x-auth-account')).toBeUndefined()
      expect(answer.header('x-auth-session')).toBeUndefined()
      expect(JSON.stringify(received.headers)).not.toContain('forged')
    }
  })

  test('R59: forged forwarding headers, another host and a health check of a user agent change nothing', async () => {
    const forged = [
      ['X-Forwarded-Uri', '/public'],
      ['X-Forwarded-Method', 'OPTIONS'],
      ['X-Forwarded-Host', 'evil.example'],
      ['X-Forwarded-Proto', 'https'],
      ['X-Forwarded-For', '203.0.113.9'],
      ['X-Original-URL', '/public'],
      ['X-Original-URI', '/public'],
      ['X-Rewrite-URL', '/public'],
      ['X_Forwarded_Uri', '/public'],
      ['Forwarded', 'for=203.0.113.9;host=evil.example'],
      ['User-Agent', 'ELB-HealthChecker/2.0'],
    ] as const
    const count = app.count()
    const out = startBrowser(proxy.port)
    const denied = await out.open('/staff/plan', { headers: forged, host: 'evil.example' })
    expect(denied.status).toBe(303)
    // The way back is where the request went, not what the client wrote; and on this host.
    expect(denied.location).toMatch(/^\/login\?return=/)
    const back = await out.signIn(denied.location ?? '', await cardea.createAccount())
    expect(back.location).toBe('/staff/plan')
    expect((await out.open('/staff/plan', { headers: forged })).status).toBe(403)
    expect(app.count()).toBe(count)
    const received = receivedIn(await out.open('/reports', { headers: forged }))
    expect(JSON.stringify(received.headers)).not.toMatch(/evil\.example|203\.0\.113|\/public/)
    expect(valuesOf(received, 'X-Forwarded-For')).toEqual(['127.0.0.1'])
    expect(valuesOf(received, 'X-Forwarded-Proto')).toEqual(['http'])
  })

  test('R58: a session that an operator ends opens nothing from the next request on', async () => {
    const { browser } = await signedIn()
    const [sid = ''] = valuesOf(receivedIn(await browser.open('/reports')), 'X-Auth-Session')
    const token = await cardea.operatorToken()
    expect((await cardea.client.post('/admin/revoke', { token, body: { sid } })).status).toBe(200)
    const count = app.count()
    expect((await browser.open('/reports')).status).toBe(303)
    expect((await browser.fetch('/reports')).status).toBe(401)
    expect(app.count()).toBe(count)
  })

  test('R58: who signs out is out, also with the cookie from before', async () => {
    const { browser } = await signedIn()
    const before = cookieOf(browser)
    expect((await browser.open('/reports')).status).toBe(200)
    const json = [['Content-Type', 'application/json']] as const
    const done = await browser.fetch('/logout', { method: 'POST', headers: json })
    expect(done.status).toBe(204)
    expect(browser.cookie(sessionCookie)).toBeUndefined()
    expect((await browser.open('/reports')).status).toBe(303)
    expect((await ask(proxy.port, '/reports', { headers: [before] })).status).toBe(401)
  })

  test('the cookies that open the session do not reach the app, and its own do', async () => {
    const { browser } = await signedIn()
    const [, session] = cookieOf(browser)
    const cookies = [
      `theme=dark; ${session}; __Host-cardea-refresh=made-up; cart=3`,
      `${session}; theme=dark; cart=3`,
      `theme=dark; cart=3; ${session}`,
      session,
    ]
    for (const cookie of cookies) {
      const headers = [['Cookie', cookie]] as const
      const received = receivedIn(await ask(proxy.port, '/reports', { headers }))
      const [left = ''] = valuesOf(received, 'Cookie')
      expect(left).not.toContain('__Host-cardea')
      const own = left.split(';').map((one) => one.trim())
      expect(own.filter((one) => one !== '')).toEqual(
        cookie === session ? [] : ['theme=dark', 'cart=3'],
      )
    }
  })

  test("only Cardea's own paths are open, and what it keeps to itself is not among them", async () => {
    const get = async (path: string) => (await ask(proxy.port, path)).status
    expect(await get('/.well-known/jwks.json')).toBe(200)
    const count = app.count()
    for (const path of ['/forward-auth', '/admin/accounts', '/health/ready', '/revocations']) {
      expect([path, await get(path)]).toEqual([path, 401])
    }
    for (const path of [
      '/_cardea/session',
      '/login/other',
      '/sessions/a/b',
      '/.well-known/other',
    ]) {
      expect([401, 404]).toContain(await get(path))
    }
    expect(app.count()).toBe(count)
  })

  test('all 200 requests of a page load pass, each with who it is', async () => {
    const { account, browser } = await signedIn()
    const asked = Array.from({ length: 200 }, async (_, place) => {
      const received = receivedIn(await browser.fetch(`/asset/${place}`))
      return [received.url, valuesOf(received, 'X-Auth-Account')]
    })
    expect(await Promise.all(asked)).toEqual(
      Array.from({ length: 200 }, (_, place) => [`/asset/${place}`, [account.id]]),
    )
  })

  test('a body reaches the app whole, and an answer of the app is left as it is', async () => {
    const { browser } = await signedIn()
    const body = 'Grüße '.repeat(100_000)
    const chunked = [['Transfer-Encoding', 'chunked']] as const
    for (const headers of [[], chunked]) {
      const received = receivedIn(await browser.fetch('/upload', { method: 'POST', headers, body }))
      expect(received.method).toBe('POST')
      expect(received.bodyBytes).toBe(Buffer.byteLength(body))
      expect(received.bodySha256).toBe(createHash('sha256').update(body).digest('hex'))
    }
    expect((await browser.open('/reports', { method: 'HEAD' })).status).toBe(200)
    expect((await browser.fetch('/broken')).status).toBe(500)
  })

  test('a switch of protocols passes for who is signed in, and for nobody else', async () => {
    const { account, browser } = await signedIn()
    const upgrade = [
      ['Connection', 'Upgrade'],
      ['Upgrade', 'echo'],
    ] as const
    expect((await ask(proxy.port, '/socket', { headers: upgrade })).status).toBe(401)
    const lines = [...upgrade, cookieOf(browser)].map(([key, value]) => `${key}: ${value}\r\n`)
    const socket = connect(proxy.port, '127.0.0.1')
    socket.write(`GET /socket HTTP/1.1\r\nHost: 127.0.0.1\r\n${lines.join('')}\r\n`)
    let heard = ''
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString()
    })
    await expect.poll(() => heard).toContain(`hello ${account.id}\n`)
    expect(heard).toMatch(/^HTTP\/1\.1 101 /)
    socket.write('anybody there?\n')
    await expect.poll(() => heard).toContain('anybody there?\n')
    const closed = once(socket, 'close')
    socket.destroy()
    await closed
  })
})
