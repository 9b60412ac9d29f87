import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import type { RequestOptions } from '../support/service/client.ts'
import { formBrowser } from '../support/service/form-browser.ts'
import { plainReturnRules, returnsOf } from '../support/service/return-address.ts'

const issuer = 'https://auth.example.com'
const domainRules = {
  ...plainReturnRules,
  ownHost: 'auth.example.com',
  cookieDomain: 'example.com',
}
const hostName = '__Host-cardea-session'
const sharedName = '__Secure-cardea-session'

const clock = fakeClock()
const config = { issuer, cookieDomain: 'example.com', trustedProxies: ['127.0.0.1/32'] }
const cardea = await startCardea({ clock, config })
afterAll(() => cardea.stop())

const setBy = (headers: Headers): string[] =>
  headers
    .getSetCookie()
    .map((line) =>
      line.replace(/^([^=]+)=[\w-]+;/, '$1=…;').replace(/Max-Age=[1-9]\d*/, 'Max-Age=…'),
    )

const valueIn = (headers: Headers, name: string): string => {
  const line = headers.getSetCookie().find((one) => one.startsWith(`${name}=`))
  return line?.slice(name.length + 1).split(';')[0] ?? ''
}

const shared = `${sharedName}=…; Max-Age=…; Domain=example.com; Path=/; HttpOnly; Secure; SameSite=Lax`
const sharedGone = `${sharedName}=; Max-Age=0; Domain=example.com; Path=/; HttpOnly; Secure; SameSite=Lax`
const device = '__Host-cardea-device=…; Max-Age=…; Path=/; HttpOnly; Secure; SameSite=Strict'
const refresh = '__Host-cardea-refresh=…; Max-Age=…; Path=/; HttpOnly; Secure; SameSite=Strict'

const logIn = async (more: Readonly<Record<string, unknown>> = { session: 'cookie' }) => {
  const { email, password } = await cardea.createAccount()
  const answer = await cardea.client.post('/login', { body: { email, password, ...more } })
  return { email, password, answer, session: valueIn(answer.headers, sharedName) }
}

const withCookie = (cookie: string): RequestOptions => ({ headers: { cookie } })

const opened = (session: string): RequestOptions => withCookie(`${sharedName}=${session}`)

describe('with a cookie domain', () => {
  test('R50: the session cookie alone has the domain, whoever sets it; everything else belongs to one host', async () => {
    const one = await logIn()
    expect(setBy(one.answer.headers)).toEqual([shared, device])
    const options = { ...opened(one.session), body: { password: one.password } }
    const renewed = await cardea.client.post('/session/reauthenticate', options)
    expect([renewed.status, setBy(renewed.headers)]).toEqual([200, [shared]])
    const tokens = await logIn({})
    expect(setBy(tokens.answer.headers)).toEqual([refresh, device])
    const sealed = await logIn({ session: 'sealed' })
    expect(setBy(sealed.answer.headers).filter((line) => line.includes('Domain'))).toEqual([])
  })

  test('R53: whatever ends the session deletes the cookie with the attributes it was set with', async () => {
    const endings = [
      (session: string) => cardea.client.post('/logout', opened(session)),
      (session: string) => cardea.client.send('DELETE', '/sessions', opened(session)),
      async (session: string) => {
        const { body } = await cardea.client.get('/session', opened(session))
        return cardea.client.send('DELETE', `/sessions/${body.session.id}`, opened(session))
      },
      // Logging in for tokens in the same browser.
      async (session: string) => {
        const { email, password } = await cardea.createAccount()
        const body = { email, password }
        return cardea.client.post('/login', { ...opened(session), body })
      },
    ]
    for (const end of endings) {
      const { session } = await logIn()
      const answer = await end(session)
      expect(answer.status, answer.text).toBeLessThan(300)
      expect(setBy(answer.headers)).toContain(sharedGone)
      expect((await cardea.client.get('/session', opened(session))).status).toBe(401)
    }
  })

  test('R57: only the cookie of this name counts, and two of them are refused', async () => {
    const { session } = await logIn()
    const statusWith = async (cookie: string) =>
      (await cardea.client.get('/forward-auth', withCookie(cookie))).status
    expect(await statusWith(`${sharedName}=${session}`)).toBe(200)
    expect(await statusWith(`${hostName}=${session}`)).toBe(401)
    expect(await statusWith(`${hostName}=x; ${sharedName}=${session}`)).toBe(200)
    expect(await statusWith(`${sharedName.toLowerCase()}=${session}`)).toBe(401)
    expect(await statusWith(`${sharedName}=${session}; ${sharedName}=x`)).toBe(400)
  })

  test('R57: without the setting the cookie of a domain counts for nothing', async () => {
    const plain = await startCardea()
    onTestFinished(() => plain.stop())
    const account = await plain.createAccount()
    const session = await plain.client.logInForCookie(account)
    for (const [name, status] of [
      [sharedName, 401],
      [hostName, 200],
    ] as const) {
      const options = withCookie(`${name}=${session}`)
      expect([name, (await plain.client.get('/session', options)).status]).toEqual([name, status])
    }
  })

  test('a proxy is led to the one login page, which leads back to the host that was asked for', async () => {
    const headers = { 'x-forwarded-host': 'wiki.example.com', 'x-forwarded-uri': '/a?b=c' }
    const asked = await cardea.client.get('/forward-auth', { headers })
    expect(asked.status).toBe(401)
    const location = new URL(asked.headers.get('location') ?? '')
    expect(location.origin + location.pathname).toBe(`${issuer}/login`)
    const accept = { accept: 'text/html' }
    const redirected = await cardea.client.get('/forward-auth?login=redirect', {
      headers: { ...headers, ...accept },
    })
    expect(redirected.status).toBe(302)
    expect(redirected.headers.get('location')).toMatch(/^https:\/\/auth\.example\.com\/login\?/)

    const someone = formBrowser(cardea.client.address)
    const { headers: said, page } = await someone.open(location.pathname + location.search)
    expect(page().one('strong').text).toBe('wiki.example.com')
    expect(said.get('content-security-policy')).toContain(
      "; form-action 'self' https://example.com:* https://*.example.com:*; ",
    )
    const { email, password } = await cardea.createAccount()
    const answer = await someone.submit(page(), { email, password })
    expect(answer.status).toBe(303)
    expect(answer.headers.get('location')).toBe('https://wiki.example.com/a?b=c')
    // Logged in already.
    const again = await someone.open(location.pathname + location.search)
    expect(again.headers.get('location')).toBe('https://wiki.example.com/a?b=c')
  })

  test('the logout page leads back to the host with the link, and to no host outside the domain', async () => {
    const someone = formBrowser(cardea.client.address)
    const linkFor = async (referer: string) => {
      const { page } = await someone.open('/logout', { referer })
      const url = new URL(page().one('a').attributes.get('href') ?? '', issuer)
      return returnsOf(cardea, clock, domainRules).read(url.searchParams.get('return') ?? '')
        ?.address
    }
    expect(await linkFor('https://wiki.example.com/')).toBe('https://wiki.example.com/')
    expect(await linkFor('https://wiki.example.com/a?b')).toBe('https://wiki.example.com/a?b')
    expect(await linkFor('http://wiki.example.com/')).toBeUndefined()
    expect(await linkFor('https://example.org/')).toBeUndefined()
  })

  test('a login that is too old is renewed for another host, and the session goes on', async () => {
    const one = await logIn()
    clock.advance(400_000)
    const forwarded = { 'x-forwarded-host': 'shop.example.com', 'x-forwarded-uri': '/pay' }
    const cookie = `${sharedName}=${one.session}`
    const asked = await cardea.client.get('/forward-auth?max_age=300', {
      headers: { ...forwarded, cookie },
    })
    expect([asked.status, asked.body.code]).toEqual([401, 'sign_in_too_old'])
    const location = new URL(asked.headers.get('location') ?? '')
    const someone = formBrowser(cardea.client.address)
    someone.cookies.set(sharedName, one.session)
    const { page } = await someone.open(location.pathname + location.search)
    clock.advance(1000)
    const { email, password } = one
    const answer = await someone.submit(page(), { email, password })
    expect(answer.headers.get('location')).toBe('https://shop.example.com/pay')
    const renewed = opened(someone.cookies.get(sharedName) ?? '')
    expect((await cardea.client.get('/forward-auth?max_age=300', renewed)).status).toBe(200)
  })

  test('the API description names the cookie', async () => {
    const { body } = await cardea.client.get('/openapi.json')
    expect(body.components.securitySchemes.sessionCookie.name).toBe(sharedName)
  })
})

describe('from a peer that is no trusted proxy, or to a host that is not listed', () => {
  const addressAfterLogin = async (service: Cardea, host: string) => {
    const headers = { 'x-forwarded-host': host, 'x-forwarded-uri': '/a' }
    const asked = await service.client.get('/forward-auth', { headers })
    const location = new URL(asked.headers.get('location') ?? '')
    const someone = formBrowser(service.client.address)
    const { page } = await someone.open(location.pathname + location.search)
    const { email, password } = await service.createAccount()
    return (await someone.submit(page(), { email, password })).headers.get('location')
  }

  test.each([
    ['a foreign host', 'evil.example'],
    ['a host that only ends alike', 'evilexample.com'],
    ['no host', ''],
    ['two hosts', 'wiki.example.com, evil.example'],
  ])('R59: %s is no return address', async (_what, host) => {
    expect(await addressAfterLogin(cardea, host)).toBe('/')
  })

  test('R59: X-Forwarded-Host of a client is nothing', async () => {
    const service = await startCardea({ config: { issuer, cookieDomain: 'example.com' } })
    onTestFinished(() => service.stop())
    expect(await addressAfterLogin(service, 'wiki.example.com')).toBe('/')
  })

  test('RETURN_HOSTS narrows where the login page leads', async () => {
    const service = await startCardea({ config: { ...config, returnHosts: ['wiki.example.com'] } })
    onTestFinished(() => service.stop())
    expect(await addressAfterLogin(service, 'wiki.example.com')).toBe('https://wiki.example.com/a')
    expect(await addressAfterLogin(service, 'shop.example.com')).toBe('/')
  })
})
