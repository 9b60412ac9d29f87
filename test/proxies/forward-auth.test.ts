import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { type EchoBackend, startEchoBackend } from '../support/programs/echo-backend.ts'
import type { RunningProxy } from '../support/programs/proxy-process.ts'
import { proxyNames, startReverseProxy } from '../support/programs/reverse-proxies.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { ask, receivedIn, startBrowser, valuesOf } from './browser.ts'

let cardea: Cardea
let app: EchoBackend
let clock: FakeClock

beforeAll(async () => {
  clock = fakeClock()
  const audiences = [otherService, appName]
  cardea = await startCardea({ clock, config: { trustedProxies: ['127.0.0.1/32'], audiences } })
  app = await startEchoBackend()
})

afterAll(async () => {
  await app?.stop()
  await cardea?.stop()
})

const sessionCookie = '__Host-cardea-session'
/** What the configurations call the app, and another service that tokens are made for. */
const appName = 'https://www.example.com'
const otherService = 'https://other.example.com'

/** What a browser adds to the request for a WebSocket. */
const webSocket = [
  ['Sec-WebSocket-Version', '13'],
  ['Sec-WebSocket-Key', randomBytes(16).toString('base64')],
] as const

describe.each(proxyNames)('%s', (name) => {
  let proxy: RunningProxy

  beforeAll(async () => {
    const { host } = new URL(cardea.client.address)
    proxy = await startReverseProxy(name, { cardea: host, app: app.address })
  })

  afterAll(async () => await proxy?.stop())

  /** A browser that is logged in, by the form of the login page. */
  const loggedIn = async (roles: readonly string[] = []) => {
    const account = await cardea.createAccount(roles)
    const browser = startBrowser(proxy.port)
    const answer = await browser.logIn('/login', account)
    expect(answer.status, answer.text).toBe(303)
    return { account, browser }
  }

  /** The credential of the signed-in browser, for requests that no browser sends. */
  const cookieOf = (browser: ReturnType<typeof startBrowser>) =>
    ['Cookie', `${sessionCookie}=${browser.cookie(sessionCookie)}`] as const

  test('R58: a person who is logged out comes to the login page, logs in and is back where they were', async () => {
    const account = await cardea.createAccount(['reader'])
    const browser = startBrowser(proxy.port)
    const count = app.count()
    const first = await browser.open('/reports/2026?month=11&order=a%2Fb')
    expect(first.status).toBe(303)
    expect(first.location).toMatch(/^\/login\?return=[\w.-]+$/)
    expect(first.header('cache-control')).toBe('no-store')
    expect(app.count()).toBe(count)
    const back = await browser.logIn(first.location ?? '', account)
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
      for (const path of ['/data', '/api/data']) {
        const answer = await ask(proxy.port, path, { headers })
        expect([path, answer.status]).toEqual([path, 401])
        expect(answer.location).toBeUndefined()
      }
    }
    const refused = await ask(proxy.port, '/api/data', { headers: [['Authorization', 'Bearer x']] })
    expect(refused.header('www-authenticate')).toBe('Bearer realm="cardea", error="invalid_token"')
    // Posting a form while logged out would lose it: that is for the app's page to handle.
    const posted = await startBrowser(proxy.port).open('/data', { method: 'POST', body: 'a=b' })
    expect(posted.status).toBe(401)
    expect(app.count()).toBe(count)
  })

  test('R58: a browser that sends a password of its own along goes round in no circle, logged in or not', async () => {
    const { browser } = await loggedIn()
    const count = app.count()
    for (const authorization of ['Basic dXNlcjpwYXNz', 'Bearer made.up.token']) {
      const headers = [['Authorization', authorization]] as const
      for (const person of [browser, startBrowser(proxy.port)]) {
        const answer = await person.open('/api/data', { headers })
        expect([answer.status, answer.location]).toEqual([401, undefined])
      }
    }
    expect(app.count()).toBe(count)
    expect((await browser.open('/api/data')).status).toBe(200)
  })

  test('R58: a bearer token opens the path where programs send tokens, if it is for this app, and no other path', async () => {
    const account = await cardea.createAccount(['staff'])
    const tokenFor = async (audience: string) => {
      const { accessToken } = await cardea.client.logIn(account, { audience })
      return [['Authorization', `Bearer ${accessToken}`]] as const
    }
    const headers = await tokenFor(appName)
    const received = receivedIn(await ask(proxy.port, '/api/data', { headers }))
    expect(valuesOf(received, 'X-Auth-Account')).toEqual([account.id])
    expect(valuesOf(received, 'Authorization')).toEqual([headers[0][1]])
    const count = app.count()
    for (const path of ['/data', '/staff/plan', '/billing/card', '/x/api', '/data?token=1']) {
      const answer = await ask(proxy.port, path, { headers })
      expect([path, answer.status, answer.location]).toEqual([path, 401, undefined])
    }
    const foreign = await tokenFor(otherService)
    expect((await ask(proxy.port, '/api/data', { headers: foreign })).status).toBe(403)
    const operator = [['Authorization', `Bearer ${await cardea.operatorToken()}`]] as const
    expect((await ask(proxy.port, '/api/data', { headers: operator })).status).toBe(403)
    expect(app.count()).toBe(count)
  })

  test('R58: a token that the app got opens nothing that the app is not asked for with it', async () => {
    const { account, browser } = await loggedIn(['staff'])
    const got = valuesOf(receivedIn(await browser.fetch('/api/data')), 'Authorization')
    const headers = [['Authorization', got[0] ?? '']] as const
    const count = app.count()
    for (const path of ['/data', '/staff/plan', '/billing/card']) {
      expect([path, (await ask(proxy.port, path, { headers })).status]).toEqual([path, 401])
    }
    expect(app.count()).toBe(count)
    // Beside a session it is nothing there: neither looked at nor passed on.
    const { account: other, browser: second } = await loggedIn()
    const received = receivedIn(await second.fetch('/data', { headers }))
    expect(other.id).not.toBe(account.id)
    expect(valuesOf(received, 'X-Auth-Account')).toEqual([other.id])
    expect(valuesOf(received, 'Authorization')).toEqual([])
  })

  test('a path that wants a recent login leads to the login page once more, and back', async () => {
    const { account, browser } = await loggedIn()
    expect((await browser.open('/billing/card')).status).toBe(200)
    clock.advance(301_000)
    expect((await browser.open('/reports')).status).toBe(200)
    const asked = await browser.open('/billing/card?id=7')
    expect(asked.status).toBe(303)
    const program = await browser.fetch('/billing/card')
    expect(program.status).toBe(401)
    const back = await browser.logIn(asked.location ?? '', account)
    expect(back.location).toBe('/billing/card?id=7')
    expect((await browser.open('/billing/card?id=7')).status).toBe(200)
  })

  test('a path that wants a token gets one of this session, and the client cannot ask for one elsewhere', async () => {
    const { account, browser } = await loggedIn(['reader'])
    const received = receivedIn(await browser.fetch('/api/data'))
    const [authorization = '', ...more] = valuesOf(received, 'Authorization')
    expect(more).toEqual([])
    const claims = decodeJwt(authorization.replace(/^Bearer /, ''))
    expect(claims.sub).toBe(account.id)
    expect(claims.aud).toBe(appName)
    expect(claims['sid']).toBe(valuesOf(received, 'X-Auth-Session')[0])
    const elsewhere = receivedIn(await browser.fetch('/data?token=1&max_age=x&role=none'))
    expect(elsewhere.url).toBe('/data?token=1&max_age=x&role=none')
    expect(valuesOf(elsewhere, 'Authorization')).toEqual([])
  })

  test('R60: the app sees one value of each identity header, the right one, whatever the client wrote', async () => {
    const { account, browser } = await loggedIn(['reader'])
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
    const forged = ['X-Auth-Account', 'X-Auth-Roles', 'X-Auth-Session', 'X-Auth-Email']
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

  test('R60: the app sees the e-mail address where the question asks for it, and never one that the client wrote', async () => {
    const { host } = new URL(cardea.client.address)
    const upstreams = { cardea: host, app: app.address }
    const asking = await startReverseProxy(name, upstreams, { asksForEmail: true })
    try {
      const { account, browser } = await loggedIn()
      const headers = [
        cookieOf(browser),
        ['X-Auth-Email', 'forged'],
        ['x_auth_email', 'forged'],
      ] as const
      const told = receivedIn(await ask(asking.port, '/reports', { headers }))
      expect(valuesOf(told, 'X-Auth-Email')).toEqual([account.email])
      const untold = receivedIn(await browser.open('/reports'))
      expect(valuesOf(untold, 'X-Auth-Email').join('')).toBe('')
    } finally {
      await asking.stop()
    }
  })

  test('R117: a person whose cookies are too large for Cardea is told so, and not that it is away', async () => {
    const small = await startCardea({
      config: { trustedProxies: ['127.0.0.1/32'], maxHeaderBytes: 4096 },
    })
    const { host } = new URL(small.client.address)
    const narrow = await startReverseProxy(name, { cardea: host, app: app.address })
    try {
      const cookies = [['Cookie', `theme=${'x'.repeat(5000)}`]] as const
      const count = app.count()
      const page = await startBrowser(narrow.port).open('/reports', { headers: cookies })
      expect(page.status, page.text).toBe(431)
      expect(page.header('content-type')).toMatch(/^text\/html/)
      expect(page.header('retry-after')).toBeUndefined()
      expect(page.text).toContain('Too many cookies')
      const own = await startBrowser(narrow.port).open('/login', { headers: cookies })
      expect([own.status, own.text.includes('Too many cookies')]).toEqual([431, true])
      if (name === 'nginx') {
        // More than nginx itself takes.
        const huge = [['Cookie', `theme=${'x'.repeat(20_000)}`]] as const
        const refused = await startBrowser(narrow.port).open('/reports', { headers: huge })
        expect([refused.status, refused.text.includes('Too many cookies')]).toEqual([431, true])
      }
      expect(app.count()).toBe(count)
      expect((await startBrowser(narrow.port).open('/reports')).status).toBe(303)
    } finally {
      await narrow.stop()
      await small.stop()
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
    const back = await out.logIn(denied.location ?? '', await cardea.createAccount())
    expect(back.location).toBe('/staff/plan')
    expect((await out.open('/staff/plan', { headers: forged })).status).toBe(403)
    expect(app.count()).toBe(count)
    const received = receivedIn(await out.open('/reports', { headers: forged }))
    expect(JSON.stringify(received.headers)).not.toMatch(/evil\.example|203\.0\.113|\/public/)
    expect(valuesOf(received, 'X-Forwarded-For')).toEqual(['127.0.0.1'])
    expect(valuesOf(received, 'X-Forwarded-Proto')).toEqual(['http'])
  })

  test('R58: who logs out is out, also with the cookie from before', async () => {
    const { browser } = await loggedIn()
    const before = cookieOf(browser)
    expect((await browser.open('/reports')).status).toBe(200)
    const json = [['Content-Type', 'application/json']] as const
    const done = await browser.fetch('/logout', { method: 'POST', headers: json })
    expect(done.status).toBe(204)
    expect(browser.cookie(sessionCookie)).toBeUndefined()
    expect((await browser.open('/reports')).status).toBe(303)
    expect((await ask(proxy.port, '/reports', { headers: [before] })).status).toBe(401)
  })

  test("Cardea's own cookies do not reach the app; its own do, and the one that is sealed for it", async () => {
    const { browser } = await loggedIn()
    const [, session] = cookieOf(browser)
    const cookies = [
      `theme=dark; ${session}; __Host-cardea-refresh=made-up; cart=3`,
      `__Host-cardea-form=a; theme=dark; ${session}; cart=3; __Host-cardea-device=b`,
      `__Host-cardea-device=a; ${session}; __Host-cardea-form=b; theme=dark; cart=3`,
      `${session}; theme=dark; cart=3`,
      `theme=dark; cart=3; ${session}`,
      `theme=dark; __Secure-cardea-session=a; ${session}; cart=3`,
      `${session}; theme=dark; cart=3; __Secure-cardea-session=a`,
      session,
    ]
    for (const cookie of cookies) {
      const headers = [['Cookie', cookie]] as const
      const received = receivedIn(await ask(proxy.port, '/reports', { headers }))
      const [left = ''] = valuesOf(received, 'Cookie')
      expect(left).not.toContain('-cardea-')
      const own = left.split(';').map((one) => one.trim())
      expect(own.filter((one) => one !== '')).toEqual(
        cookie === session ? [] : ['theme=dark', 'cart=3'],
      )
    }
    const sealed = [['Cookie', `${session}; __Host-cardea-sealed=c`]] as const
    const received = receivedIn(await ask(proxy.port, '/reports', { headers: sealed }))
    expect(valuesOf(received, 'Cookie').map((left) => left.trim())).toEqual([
      '__Host-cardea-sealed=c',
    ])
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
    const { account, browser } = await loggedIn()
    const asked = Array.from({ length: 200 }, async (_, place) => {
      const received = receivedIn(await browser.fetch(`/asset/${place}`))
      return [received.url, valuesOf(received, 'X-Auth-Account')]
    })
    expect(await Promise.all(asked)).toEqual(
      Array.from({ length: 200 }, (_, place) => [`/asset/${place}`, [account.id]]),
    )
  })

  test('a body reaches the app whole, and an answer of the app is left as it is', async () => {
    const { browser } = await loggedIn()
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

  test('a WebSocket passes for who is logged in, and for nobody else', async () => {
    const { account, browser } = await loggedIn()
    const upgrade = [['Connection', 'Upgrade'], ['Upgrade', 'WebSocket'], ...webSocket] as const
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

  test('a connection to the app never becomes another protocol, in which no request would be checked', async () => {
    const { browser } = await loggedIn()
    for (const protocol of ['h2c', 'websocket, h2c', 'echo']) {
      const headers = [
        ['Connection', 'Upgrade, HTTP2-Settings'],
        ['HTTP2-Settings', 'AAMAAABkAAQAAP__'],
        ['Upgrade', protocol],
        ...webSocket,
      ] as const
      const received = receivedIn(await browser.fetch('/socket', { headers }))
      expect(valuesOf(received, 'Upgrade')).toEqual([])
    }
  })
})
