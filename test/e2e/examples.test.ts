import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { findRunningEmbeddedPostgres } from '../../packages/embedded-stores/src/index.ts'
import { freePort } from '../support/servers/free-port.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Client, httpClient } from '../support/service/client.ts'
import { type ExampleBrowser, exampleBrowser } from './example-browser.ts'
import { type ExampleProgram, type Examples, startExamples } from './example-programs.ts'

const ada = { email: 'ada@example.com', password: 'correct horse battery staple 7' }

const loginPage = '<h1>Log in</h1>'

let examples: Examples
let cardea: Client
let operator: string

const pages = new Map<string, Promise<ExampleProgram>>()

/** The program of an example, once all that its page says has been done and was as shown. */
const followed = (name: string): Promise<ExampleProgram> => {
  const found = pages.get(name) ?? examples.follow(name)
  pages.set(name, found)
  return found
}

const readJson = (file: string) =>
  JSON.parse(readFileSync(join(examples.clone.path, '.data', file), 'utf8'))

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

const asOperator = async (method: string, path: string, body: unknown): Promise<void> => {
  const { status, text } = await cardea.send(method, path, { token: operator, body })
  if (status !== 200) throw new Error(`${method} ${path} answered ${status}: ${text}`)
}

const askApi = async (method: string, path: string, token: string) => {
  const headers = { authorization: `Bearer ${token}` }
  const answer = await fetch(examples.apiAddress + path, { method, headers })
  return { status: answer.status, text: await answer.text() }
}

/** What the program of a service gets for the credentials in this file. */
const serviceToken = async (file: string): Promise<string> => {
  const { client_id: id, client_secret: secret } = readJson(file)
  const answer = await fetch(`${cardea.address}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'orders:read' }),
  })
  return JSON.parse(await answer.text()).access_token
}

/** As if everybody had logged in an hour ago. */
const ageLogins = async (): Promise<void> => {
  const folder = join(examples.clone.path, '.data', 'postgres')
  const postgres = await findRunningEmbeddedPostgres(folder)
  if (!postgres) throw new Error('no Postgres runs in the clone')
  await sqlAs(postgres.ownerUrl)(
    `UPDATE sessions SET authenticated_at = authenticated_at - interval '1 hour',
      created_at = created_at - interval '1 hour'`,
  )
}

const signOperatorIn = async (): Promise<string> => {
  const password = /password {2}(\S+)/.exec(examples.clone.started)?.[1] ?? ''
  return (await cardea.logIn({ email: 'operator@cardea.localhost', password })).accessToken
}

beforeAll(async () => {
  examples = await startExamples()
  cardea = httpClient(`http://127.0.0.1:${examples.clone.port}`)
  operator = await signOperatorIn()
})
afterAll(() => examples.stop())

describe('the web app', () => {
  beforeAll(() => followed('web-app'))

  const loggedIn = async (): Promise<ExampleBrowser> => {
    const browser = exampleBrowser(examples.webAddress)
    expect((await browser.submit('/login', ada)).text).toContain('Logged in as ada@example.com.')
    return browser
  }

  test('shows a stranger the login on every page, and lets nobody keep a page', async () => {
    const stranger = exampleBrowser(examples.webAddress)
    for (const path of ['/', '/checkout']) {
      const page = await stranger.open(path)
      expect(page.text).toContain(loginPage)
      expect(page.headers.get('cache-control')).toBe('no-store')
    }
    for (const path of ['/cart', '/confirm', '/checkout', '/logout']) {
      expect((await stranger.submit(path)).text, path).toContain(loginPage)
    }
  })

  test('logs in with a cookie of its own host, and says no more of a wrong password than that', async () => {
    const browser = exampleBrowser(examples.webAddress)
    const wrong = await browser.submit('/login', { ...ada, password: 'not the password at all' })
    expect([wrong.status, wrong.text]).toEqual([401, expect.stringContaining('That is wrong.')])
    expect(browser.cookieNames()).not.toContain('__Host-cardea-session')

    const held = (await loggedIn()).cookieNames().toSorted()
    expect(held).toEqual(['__Host-cardea-device', '__Host-cardea-session'])
  })

  test('takes no form of another site, also not one that signs somebody in', async () => {
    const post = (headers: Record<string, string>) =>
      fetch(`${examples.webAddress}/login`, {
        method: 'POST',
        redirect: 'manual',
        headers,
        body: new URLSearchParams(ada),
      })
    for (const headers of [
      {},
      { origin: 'http://evil.example' },
      { 'sec-fetch-site': 'same-site', origin: examples.webAddress },
      { 'sec-fetch-site': 'cross-site' },
    ]) {
      const answer = await post(headers)
      expect(answer.status, JSON.stringify(headers)).toBe(403)
      expect(answer.headers.getSetCookie()).toEqual([])
    }
    expect((await post({ origin: examples.webAddress })).status).toBe(303)
  })

  test('loses no item when five tabs fill the cart at once, and escapes what they bring', async () => {
    const browser = await loggedIn()
    const adds = Array.from({ length: 5 }, () => browser.submit('/cart', { item: 'tea' }))
    expect((await Promise.all(adds)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
    const page = await browser.submit('/cart', { item: '<b>&"cups"' })
    expect(page.text).toContain('<li>5 × tea</li>')
    expect(page.text).toContain('<li>1 × &lt;b&gt;&amp;&quot;cups&quot;</li>')
  })

  test('says so when the cart has no room, and keeps what is in it', async () => {
    const browser = await loggedIn()
    await browser.submit('/cart', { item: 'tea' })
    const full = await browser.submit('/cart', { item: 'x'.repeat(4096) })
    expect([full.status, full.text]).toEqual([413, expect.stringContaining('The cart is full.')])
    expect((await browser.open('/')).text).toContain('<ul><li>1 × tea</li></ul>')
  })

  test('asks for the password again before paying, once the login is old', async () => {
    const browser = await loggedIn()
    await browser.submit('/cart', { item: 'tea' })
    expect((await browser.open('/checkout')).text).toContain('<h1>Check out</h1>')
    await ageLogins()
    expect((await browser.open('/checkout')).text).toContain('<h1>Is it you?</h1>')
    expect((await browser.submit('/checkout')).text).toContain('<h1>Is it you?</h1>')

    const wrong = await browser.submit('/confirm', { password: 'not the password at all' })
    expect([wrong.status, wrong.text]).toEqual([401, expect.stringContaining('That is wrong.')])
    const before = browser.copy()
    const confirmed = await browser.submit('/confirm', { password: ada.password })
    expect(confirmed.text).toContain('<h1>Check out</h1>')
    expect((await before.open('/')).text).toContain(loginPage)

    expect((await browser.open('/')).text).toContain('1 × tea')
    expect((await browser.submit('/checkout')).text).toContain('Thank you.')
    expect((await browser.open('/')).text).toContain('<ul></ul>')
  })

  test('logging out ends the session, takes its cookie away, and leaves other browsers alone', async () => {
    const [browser, other] = [await loggedIn(), await loggedIn()]
    const before = browser.copy()
    expect((await browser.submit('/logout')).text).toContain(loginPage)
    expect(browser.cookieNames()).toEqual(['__Host-cardea-device'])
    expect((await before.open('/')).text).toContain(loginPage)
    expect((await other.open('/')).text).toContain('Logged in as')
  })

  test('says "try again" while Cardea is away, and leaves the cookie alone', async () => {
    const browser = await loggedIn()
    const [nobody, port] = [await freePort(), await freePort()]
    const folder = 'examples/web-app-alone'
    await examples.run(`cp -r examples/web-app ${folder} &&
      sed -i 's/127.0.0.1:${examples.clone.port}/127.0.0.1:${nobody}/' ${folder}/cardea.js &&
      sed -i 's/port: [0-9]*/port: ${port}/' ${folder}/server.js`)
    examples.start(`node ${folder}/server.js`)
    const alone = browser.copy(`http://127.0.0.1:${port}`)
    const page = await vi.waitFor(() => alone.open('/'))
    expect([page.status, page.text]).toEqual([503, expect.stringContaining('Try again')])
    expect(page.headers.get('retry-after')).toBe('2')
    expect(page.headers.getSetCookie()).toEqual([])
    expect((await browser.open('/')).text).toContain('Logged in as')
  })

  test('one revocation of the client takes back what the service has, which asks for a new token and goes on', async () => {
    await followed('api')
    const service = await followed('service')
    const { client_id: sub } = readJson('report.json')
    const token = await serviceToken('report.json')
    expect((await askApi('GET', '/report', token)).status).toBe(200)
    const seen = service.lines().length

    await asOperator('POST', '/admin/revoke', { sub })

    await vi.waitFor(async () =>
      expect((await askApi('GET', '/report', token)).text).toContain('token_revoked'),
    )
    const later = () => service.lines().slice(seen)
    const refusal = expect.stringMatching(/^401 .*token_revoked/)
    await vi.waitFor(() => expect(later()).toContainEqual(refusal))
    await vi.waitFor(() => expect(later().at(-1)).toBe('200 {"count":2}'))
  })

  test('one revocation of the account ends all of them: here, at the API, and the service that belongs to it', async () => {
    await followed('api')
    const service = await followed('service')
    const browser = await loggedIn()
    const askAgain = 'node examples/api/client.js /orders || echo "exit $?"'
    await examples.run(`echo '${ada.password}' | node examples/api/client.js login ${ada.email}`)
    expect(await examples.run(askAgain)).toMatch(/^200 /)
    const { access_token: token } = readJson('ada-tokens.json')
    const held = await serviceToken('report.json')
    expect((await askApi('GET', '/report', held)).status).toBe(200)

    await asOperator('POST', '/admin/revoke', { sub: claimsOf(token).sub })

    expect((await browser.open('/')).text).toContain(loginPage)
    for (const [path, dead] of [
      ['/orders', token],
      ['/report', held],
    ] as const) {
      await vi.waitFor(async () =>
        expect((await askApi('GET', path, dead)).text).toContain('token_revoked'),
      )
    }
    expect(await examples.run(askAgain)).toBe('log in again: revoked\nexit 1')
    expect(await service.ended, service.lines().join('\n')).toBe(1)
    expect(service.lines().at(-1)).toBe('Cardea no longer accepts this client')
  })
})

describe('the API', () => {
  beforeAll(async () => {
    await followed('web-app')
    await followed('api')
  })

  /** The client's tokens after a new login of it. */
  const loggedIn = async (): Promise<{ readonly access_token: string }> => {
    await examples.run(`echo '${ada.password}' | node examples/api/client.js login ${ada.email}`)
    return readJson('ada-tokens.json')
  }

  const refusedWithin = (method: string, path: string, token: string) =>
    vi.waitFor(async () => expect((await askApi(method, path, token)).status).toBe(401))

  test('has a client that refreshes by itself when its token is refused', async () => {
    const { access_token: first } = await loggedIn()
    await asOperator('POST', '/admin/revoke', { jti: claimsOf(first).jti })
    await refusedWithin('GET', '/orders', first)
    expect(await examples.run('node examples/api/client.js /orders')).toMatch(/^200 /)
    expect(readJson('ada-tokens.json').access_token).not.toBe(first)
  })

  test('lets only managers delete, and a new role counts from the next token on', async () => {
    const { access_token: plain } = await loggedIn()
    expect((await askApi('DELETE', '/orders/7', plain)).status).toBe(403)
    await asOperator('PATCH', `/admin/accounts/${claimsOf(plain).sub}`, { roles: ['manager'] })
    await refusedWithin('DELETE', '/orders/7', plain)
    await examples.run('node examples/api/client.js /orders')
    const { access_token: manager } = readJson('ada-tokens.json')
    expect((await askApi('DELETE', '/orders/7', manager)).status).toBe(404)
  })
})

test('a service whose client is disabled is refused by the API before its token expires, and gets no other', async () => {
  await followed('web-app')
  await followed('api')
  const program = 'examples/service/report.js'
  const file = join(examples.clone.path, '.data', 'other.json')
  await examples.run(`npx cardea client create --name other --scope orders:read --json > ${file}`)
  await examples.run(`sed s/report.json/other.json/ ${program} > examples/service/other.js`)
  const service = examples.start('node examples/service/other.js')
  await vi.waitFor(() => expect(service.lines().length, 'has asked').toBeGreaterThan(0))
  await examples.run(`npx cardea client disable ${readJson('other.json').client_id}`)
  expect(await service.ended, service.lines().join('\n')).toBe(1)
  const statuses = service.lines().map((line) => line.slice(0, 4))
  expect(statuses[0]).toBe('200 ')
  expect(statuses.at(-2)).toBe('401 ')
  expect(service.lines().at(-1)).toBe('Cardea no longer accepts this client')
})
