import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type EchoBackend,
  type Received,
  startEchoBackend,
} from '../support/programs/echo-backend.ts'
import type { RunningProxy } from '../support/programs/proxy-process.ts'
import { type OneLoginUpstreams, startOneLoginProxy } from '../support/programs/reverse-proxies.ts'
import { type ScratchFolder, scratchFolder } from '../support/programs/scratch-folder.ts'
import { selfSigned } from '../support/servers/self-signed.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import { receivedIn, valuesOf } from './browser.ts'
import { type Chromium, startChromium, type Tab } from './chromium.ts'

let cardea: Cardea
let wiki: EchoBackend
let shop: EchoBackend
let folder: ScratchFolder

beforeAll(async () => {
  cardea = await startCardea({
    config: {
      issuer: 'https://auth.example.com',
      cookieDomain: 'example.com',
      trustedProxies: ['127.0.0.1/32'],
      serviceName: 'Example',
    },
  })
  wiki = await startEchoBackend()
  shop = await startEchoBackend()
  folder = await scratchFolder('one-login')
})

afterAll(async () => {
  await folder?.remove()
  await shop?.stop()
  await wiki?.stop()
  await cardea?.stop()
})

/** Over TLS, as `host`, without following anything. */
const askAt = async (port: number, host: string, path: string) => {
  const sent = request({
    host: '127.0.0.1',
    port,
    path,
    servername: host,
    // The certificate names another host, and is nobody's.
    rejectUnauthorized: false,
    agent: false,
    headers: { host, accept: 'text/html' },
  })
  const answered = once(sent, 'response')
  sent.end()
  const [response]: IncomingMessage[] = await answered
  if (!response) throw new Error('no answer came')
  const text = (await buffer(response)).toString()
  return { status: response.statusCode, headers: response.headers, text }
}

/** What a tab shows, once it shows something. */
const shown = (tab: Tab): Promise<string> =>
  tab.evaluate(`location.href + ' ' + document.body.innerText`)

const heading = (tab: Tab): Promise<string | undefined> =>
  tab.evaluate(`location.host + ' ' + document.querySelector('h1')?.innerText`)

const logIn = (tab: Tab, { email, password }: TestAccount): Promise<void> =>
  tab.evaluate(`
    document.getElementById('email').value = ${JSON.stringify(email)}
    document.getElementById('password').value = ${JSON.stringify(password)}
    document.querySelector('button[type=submit]').click()`)

const press = (tab: Tab): Promise<void> =>
  tab.evaluate(`document.querySelector('button[type=submit]').click()`)

/** What the app behind a host got. */
const receivedAt = async (tab: Tab): Promise<Received> => {
  const text: string = await tab.evaluate('document.body.innerText')
  return receivedIn({ status: 200, location: undefined, header: () => undefined, text })
}

describe.each(['nginx', 'caddy'] as const)('%s, two hosts and one login', (name) => {
  const withProxy = async (
    changed: Partial<OneLoginUpstreams>,
    use: (ask: (host: string, path: string) => ReturnType<typeof askAt>) => Promise<void>,
  ) => {
    const { host: upstream } = new URL(cardea.client.address)
    const upstreams = { cardea: upstream, wiki: wiki.address, shop: shop.address, ...changed }
    const proxy = await startOneLoginProxy(name, upstreams, await selfSigned(folder.path))
    try {
      await use((host, path) => askAt(proxy.port, host, path))
    } finally {
      await proxy.stop()
    }
  }

  const adminPaths = ['/admin/accounts', '/%61dmin/accounts', '/x/../admin/accounts', '/admin']
  const insidePaths = ['/forward-auth', '/health/ready', '/health/%72eady', '/health/x/../ready']

  test('the host of the login page is closed for what operators, load balancers and proxies ask', async () => {
    await withProxy({}, async (ask) => {
      for (const path of [...adminPaths, ...insidePaths]) {
        const { status, headers } = await ask('auth.example.com', path)
        // Not from Cardea, which would name its request.
        expect([path, status, headers['x-request-id']]).toEqual([path, 404, undefined])
      }
      expect((await ask('auth.example.com', '/health/live')).status).toBe(200)
      expect((await ask('auth.example.com', '/login')).status).toBe(200)
    })
  })

  test('/admin can be opened to the network of the operators', async () => {
    await withProxy({ operators: '127.0.0.1/32' }, async (ask) => {
      expect((await ask('auth.example.com', '/admin/accounts')).status).toBe(401)
      expect((await ask('auth.example.com', '/health/ready')).status).toBe(404)
    })
    await withProxy({ operators: '10.0.0.0/8' }, async (ask) => {
      expect((await ask('auth.example.com', '/admin/accounts')).status).toBe(404)
    })
  })

  test('while Cardea is away, every host says so and asks to try again', async () => {
    await withProxy({ cardea: '127.0.0.1:1' }, async (ask) => {
      for (const host of ['auth.example.com', 'wiki.example.com']) {
        const { status, headers, text } = await ask(host, '/login')
        expect([host, status, headers['retry-after']]).toEqual([host, 503, '5'])
        expect(headers['content-type']).toMatch(/^text\/html/)
        expect(text).toContain('Try again in a few seconds.')
      }
    })
  })
})

describe.each(['nginx', 'caddy'] as const)('%s, two hosts and one login, in Chromium', (name) => {
  let proxy: RunningProxy
  let chromium: Chromium

  beforeAll(async () => {
    const { host } = new URL(cardea.client.address)
    const pair = await selfSigned(folder.path)
    const upstreams = { cardea: host, wiki: wiki.address, shop: shop.address }
    proxy = await startOneLoginProxy(name, upstreams, pair)
    chromium = await startChromium(proxy.port)
  })

  afterAll(async () => {
    await chromium?.stop()
    await proxy?.stop()
  })

  test('who logs in for one host is logged in at the other, and logged out at both at once', async () => {
    const account = await cardea.createAccount(['reader'])
    const first = await chromium.newTab()
    await first.open('https://wiki.example.com/page/1?a=b&c=%2F')
    await expect.poll(() => heading(first)).toBe('auth.example.com Log in')
    expect(await shown(first)).toContain('to wiki.example.com')
    await logIn(first, account)
    await expect.poll(() => shown(first)).toContain('https://wiki.example.com/page/1?a=b&c=%2F ')
    const atWiki = await receivedAt(first)
    expect(valuesOf(atWiki, 'X-Auth-Account')).toEqual([account.id])
    expect(JSON.stringify(atWiki.headers)).not.toContain('cardea-session')

    const second = await chromium.newTab()
    await second.open('https://shop.example.com/cart')
    await expect.poll(() => shown(second)).toContain('https://shop.example.com/cart {')
    const atShop = await receivedAt(second)
    expect(valuesOf(atShop, 'X-Auth-Account')).toEqual([account.id])
    expect(valuesOf(atShop, 'X-Auth-Session')).toEqual(valuesOf(atWiki, 'X-Auth-Session'))
    expect(JSON.stringify(atShop.headers)).not.toContain('cardea-session')

    await second.open('https://auth.example.com/logout')
    await expect.poll(() => heading(second)).toBe('auth.example.com Log out?')
    expect(await shown(second)).toContain('for example.com and all sites below it')
    await press(second)
    await expect.poll(() => heading(second)).toBe('auth.example.com You are logged out')
    const { cookies } = await second.send('Storage.getCookies')
    expect(cookies.map((cookie: { name: string }) => cookie.name)).not.toContain(
      '__Secure-cardea-session',
    )
    for (const [tab, address] of [
      [first, 'https://wiki.example.com/page/2'],
      [second, 'https://shop.example.com/cart'],
    ] as const) {
      await tab.open(address)
      await expect.poll(() => heading(tab)).toBe('auth.example.com Log in')
    }
  })

  test('R50: the session cookie is the only one with a domain; the form that leads to another host is not stopped by the page', async () => {
    const account = await cardea.createAccount()
    const tab = await chromium.newTab()
    await tab.open('https://shop.example.com/')
    await expect.poll(() => heading(tab)).toBe('auth.example.com Log in')
    await logIn(tab, account)
    await expect.poll(() => shown(tab)).toContain('https://shop.example.com/ {')
    const { cookies } = await tab.send('Storage.getCookies')
    const ours: { name: string; domain: string; secure: boolean; httpOnly: boolean }[] = cookies
    const found = ours.map(({ name, domain, secure, httpOnly }) => [name, domain, secure, httpOnly])
    expect(found.toSorted()).toEqual([
      ['__Host-cardea-device', 'auth.example.com', true, true],
      ['__Host-cardea-form', 'auth.example.com', true, true],
      ['__Secure-cardea-session', '.example.com', true, true],
    ])
    await tab.open('https://auth.example.com/')
    await expect.poll(() => heading(tab)).toBe('auth.example.com You are logged in')
    expect(await shown(tab)).toContain(account.email)
  })

  test('R101: the policy of the page lets its one script show the password, and no other script run', async () => {
    const tab = await chromium.newTab()
    await tab.open('https://auth.example.com/login?other')
    await expect.poll(() => heading(tab)).toMatch(/^auth\.example\.com (Log in|You are logged in)$/)
    await tab.send('Storage.clearCookies')
    await tab.open('https://auth.example.com/login')
    await expect.poll(() => heading(tab)).toBe('auth.example.com Log in')
    const field = 'document.getElementById("password")'
    const button = 'document.getElementById("show")'
    const state = () =>
      tab.evaluate(`[${field}.type, ${button}.hidden, ${button}.innerText].join()`)
    await expect.poll(state).toBe('password,false,Show')
    await tab.evaluate(`${button}.click()`)
    expect(await state()).toBe('text,false,Hide')
    expect(await tab.evaluate(`document.activeElement.id`)).toBe('email')
    await tab.evaluate(`
      const script = document.createElement('script')
      script.textContent = 'window.ran = true'
      document.body.append(script)`)
    expect(await tab.evaluate('window.ran === true')).toBe(false)
    // What is sent is a password again, so that the browser offers to keep it.
    await logIn(tab, await cardea.createAccount())
    await expect.poll(() => heading(tab)).toBe('auth.example.com You are logged in')
  })

  test('a return address that names a foreign host leads nowhere else, and /forward-auth is not open', async () => {
    const ask = async (host: string, path: string, accept: string) => {
      const response = await fetch(`${cardea.client.address}${path}`, {
        redirect: 'manual',
        headers: { accept, 'x-forwarded-host': host, 'x-forwarded-uri': '/a' },
      })
      return response.headers.get('location') ?? ''
    }
    const location = await ask('evil.example', '/forward-auth', 'text/html')
    expect(location).toMatch(/^https:\/\/auth\.example\.com\/login\?return=/)
    const account = await cardea.createAccount()
    const tab = await chromium.newTab()
    await tab.open('https://auth.example.com/forward-auth')
    await expect.poll(() => shown(tab)).toContain('auth.example.com/forward-auth')
    expect(await shown(tab)).not.toContain('sign_in_required')
    await tab.open('https://auth.example.com/logout')
    await expect
      .poll(() => heading(tab))
      .toMatch(/^auth\.example\.com (Log out\?|You are logged out)$/)
    if ((await heading(tab))?.endsWith('?')) await press(tab)
    await expect.poll(() => heading(tab)).toBe('auth.example.com You are logged out')
    await tab.open(location)
    await expect.poll(() => heading(tab)).toBe('auth.example.com Log in')
    await logIn(tab, account)
    await expect.poll(() => heading(tab)).toBe('auth.example.com You are logged in')
  })
})
