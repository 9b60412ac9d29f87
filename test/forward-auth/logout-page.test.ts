import { afterAll, describe, expect, test } from 'vitest'
import { formTokens } from '../../src/forward-auth/index.ts'
import { keyLabels, secretRing } from '../../src/keys/index.ts'
import { systemClock } from '../../src/lib/machine.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import { type BrowserAnswer, formBrowser } from '../support/service/form-browser.ts'
import { returnsOf } from '../support/service/return-address.ts'

const sessionCookie = '__Host-cardea-session'
const refreshCookie = '__Host-cardea-refresh'
const formCookie = '__Host-cardea-form'
const formType = 'application/x-www-form-urlencoded'

const cardea = await startCardea()
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())

const loggedIn = async () => {
  const account = await cardea.createAccount()
  const someone = formBrowser(cardea.client.address)
  someone.cookies.set(sessionCookie, await cardea.client.logInForCookie(account))
  return { account, someone, session: someone.cookies.get(sessionCookie) ?? '' }
}

const isLive = async (session: string): Promise<boolean> =>
  (await cardea.client.get('/session', { session })).status === 200

const headingOf = (answer: BrowserAnswer): string => answer.page().one('h1').text

describe('the logout page', () => {
  test('R67: asks and changes nothing, for GET and HEAD', async () => {
    const { someone, session } = await loggedIn()
    await trail()
    const answer = await someone.open('/logout')
    expect([answer.status, headingOf(answer)]).toEqual([200, 'Log out?'])
    const head = await fetch(`${cardea.client.address}/logout`, {
      method: 'HEAD',
      headers: { accept: 'text/html', cookie: `${sessionCookie}=${session}` },
    })
    expect(head.status).toBe(200)
    expect(await isLive(session)).toBe(true)
    expect(await trail()).toEqual([])
  })

  test('R67 R102: is 405 for whoever asks for no page', async () => {
    const { session } = await loggedIn()
    const answer = await cardea.client.get('/logout', { session })
    expect(answer).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } })
    expect(answer.headers.get('allow')).toBe('POST')
    expect(await isLive(session)).toBe(true)
  })

  test('R53: its button ends the session and deletes the cookie, and the page then says so', async () => {
    const { account, someone, session } = await loggedIn()
    const { page } = await someone.open('/logout')
    await trail()
    const answer = await someone.submit(page(), {})
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/logout'])
    expect(answer.headers.getSetCookie()).toEqual([
      `${sessionCookie}=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax`,
    ])
    expect(await isLive(session)).toBe(false)
    expect(await trail()).toMatchObject([
      { event: 'logout', account: account.id, reason: 'logout' },
    ])
    expect(headingOf(await someone.open('/logout'))).toBe('You are logged out')
  })

  test('R53: it ends the session of a refresh cookie as well, a sealed one too', async () => {
    for (const kind of ['token', 'sealed']) {
      const account = await cardea.createAccount()
      const { refreshToken } = await cardea.client.logIn(account, { session: kind })
      const someone = formBrowser(cardea.client.address)
      someone.cookies.set(refreshCookie, refreshToken)
      if (kind === 'sealed') someone.cookies.set('__Host-cardea-sealed', 'of that session')
      const { page } = await someone.open('/logout')
      expect((await someone.submit(page(), {})).status).toBe(303)
      expect([...someone.cookies.keys()]).toEqual([formCookie])
      expect((await cardea.client.refresh(refreshToken)).status).toBe(401)
    }
  })

  test('for a browser without a session says that nobody is logged in; a session that has ended may be logged out again', async () => {
    expect(headingOf(await formBrowser(cardea.client.address).open('/logout'))).toBe(
      'You are logged out',
    )
    const { someone, session } = await loggedIn()
    const { page } = await someone.open('/logout')
    await cardea.client.post('/logout', { session })
    expect((await someone.submit(page(), {})).status).toBe(303)
  })

  test('two session cookies are refused with a page, and nothing ends', async () => {
    const { someone, session } = await loggedIn()
    const { page } = await someone.open('/logout')
    const twice = `${session}; ${sessionCookie}=x`
    someone.cookies.set(sessionCookie, twice)
    const asked = await someone.open('/logout')
    expect(asked.status).toBe(400)
    expect(asked.text).toContain('sent more than once')
    expect((await someone.submit(page(), {})).status).toBe(400)
    expect(await isLive(session)).toBe(true)
  })
})

describe('a logout form that is not from our page', () => {
  test('R68: without the cookie or the field, with those of another browser or of the login form, is 403 and ends nothing', async () => {
    const { someone, session } = await loggedIn()
    const { page } = await someone.open('/logout')
    const cookie = someone.cookies.get(formCookie) ?? ''
    const stranger = formBrowser(cardea.client.address)
    await stranger.open('/login')
    const theirs = stranger.cookies.get(formCookie) ?? ''
    const loginForms = formTokens(secretRing(cardea.stores.secrets).derive(keyLabels.loginForm))
    const attempts: readonly (readonly [string, Record<string, string>])[] = [
      ['', {}],
      ['x', {}],
      [theirs, {}],
      [cookie, { form: '' }],
      [cookie, { form: 'x' }],
      [cookie, { form: loginForms.write(cookie) }],
    ]
    await trail()
    for (const [value, fields] of attempts) {
      someone.cookies.set(formCookie, value)
      const answer = await someone.submit(page(), fields)
      expect([answer.status, headingOf(answer)]).toEqual([403, 'Log out?'])
      expect(answer.text).toContain('not made for this browser, or is too old')
    }
    expect(await trail()).toEqual([])
    expect(await isLive(session)).toBe(true)
    someone.cookies.set(formCookie, cookie)
    expect((await someone.submit(page(), {})).status).toBe(303)
  })

  test('R62 R63: from a page of another origin is 403 and ends nothing', async () => {
    const { someone, session } = await loggedIn()
    const { page } = await someone.open('/logout')
    for (const site of ['cross-site', 'same-site']) {
      const answer = await someone.submit(page(), {}, { 'sec-fetch-site': site })
      expect(answer.status, site).toBe(403)
      expect(answer.headers.getSetCookie(), site).toEqual([])
      expect(answer.page().one('a').attributes.get('href')).toBe('/logout')
    }
    expect(await isLive(session)).toBe(true)
  })

  test('R65: of another type or with more fields is refused with a page', async () => {
    const { someone, session } = await loggedIn()
    const { page } = await someone.open('/logout')
    const form = page().one('input').attributes.get('value') ?? ''
    const cookie = [...someone.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    for (const [status, type, body] of [
      [415, 'application/json', JSON.stringify({ form })],
      [415, 'text/plain', `form=${form}`],
      [400, formType, `form=${form}&form=${form}`],
      [400, formType, `form=${form}&x=1`],
    ] as const) {
      const headers = { 'content-type': type, cookie }
      const answer = await cardea.client.send('POST', '/logout/form', { headers, body })
      expect([answer.status, answer.headers.get('content-type')]).toEqual([
        status,
        'text/html; charset=utf-8',
      ])
    }
    expect(await isLive(session)).toBe(true)
  })
})

describe('the way back to an app', () => {
  const linkIn = (answer: BrowserAnswer): string =>
    answer.page().one('a').attributes.get('href') ?? ''

  const logOutAndIn = async (path: string, headers: Readonly<Record<string, string>> = {}) => {
    const { account, someone } = await loggedIn()
    const question = await someone.open(path, headers)
    const loggedOut = await someone.submit(question.page(), {})
    const done = await someone.open(loggedOut.headers.get('location') ?? '')
    expect(headingOf(done)).toBe('You are logged out')
    const { page } = await someone.open(linkIn(done))
    const { email, password } = account
    const { headers: leading } = await someone.submit(page(), { email, password })
    return { stay: linkIn(question), afterwards: leading.get('location') }
  }

  test('stays over a logout and the next login, for a page that the link names or that it is on', async () => {
    const signed = returnsOf(cardea, systemClock).write('/wiki?a=b', true)
    const referer = `${cardea.client.address}/wiki?a=b`
    const there = { stay: '/wiki?a=b', afterwards: '/wiki?a=b' }
    expect(await logOutAndIn(`/logout?return=${signed}`)).toEqual(there)
    expect(await logOutAndIn('/logout?return=%2Fwiki%3Fa%3Db')).toEqual(there)
    expect(await logOutAndIn('/logout', { referer })).toEqual(there)
    expect(await logOutAndIn('/logout')).toEqual({ stay: '/', afterwards: '/' })
  })

  test('leads to no other host and to no page of this service, whatever the link says', async () => {
    const evil = 'https://evil.example/'
    for (const address of [evil, '//evil.example/', '/\\evil.example', '/logout']) {
      const { stay, afterwards } = await logOutAndIn(
        `/logout?return=${encodeURIComponent(address)}`,
      )
      expect([stay, afterwards], address).toEqual(['/', '/'])
    }
    for (const referer of [evil, 'x', `${cardea.client.address}/login?return=x`]) {
      const { stay, afterwards } = await logOutAndIn('/logout', { referer })
      expect([stay, afterwards], referer).toEqual(['/', '/'])
    }
  })

  test('R68: a form with another return address than its page is 403', async () => {
    const { someone, session } = await loggedIn()
    const { page } = await someone.open('/logout?return=/wiki')
    const other = returnsOf(cardea, systemClock).write('/other', false)
    for (const token of [other, undefined]) {
      expect((await someone.submit(page(), { return: token })).status).toBe(403)
    }
    expect(await isLive(session)).toBe(true)
  })

  test('is the first button of the start page, before the one to log out', async () => {
    const { someone } = await loggedIn()
    const links = (await someone.open('/?return=/wiki')).page().all('a')
    expect(links.map(({ attributes }) => attributes.get('class'))).toEqual([
      'button',
      'button secondary',
    ])
    expect(links[0]?.attributes.get('href')).toBe('/wiki')
    expect(links[0]?.text).toBe(`Continue to ${new URL(cardea.client.address).host}`)
    expect(links[1]?.attributes.get('href')).toMatch(/^\/logout\?return=[\w-]+$/)
  })
})

describe('the start page', () => {
  test('says who is logged in by cookie, and nobody else', async () => {
    const { account, someone } = await loggedIn()
    const known = await someone.open('/')
    expect([known.status, headingOf(known)]).toEqual([200, 'You are logged in'])
    expect(known.page().one('strong').text).toBe(account.email)
    expect(known.page().one('a').attributes.get('href')).toBe('/logout')
    expect(known.page().one('a').attributes.get('class')).toBe('button secondary')
    someone.cookies.set(sessionCookie, 'x')
    const unknown = await someone.open('/')
    expect([unknown.status, headingOf(unknown)]).toEqual([200, 'You are not logged in'])
    expect(unknown.page().one('a').attributes.get('href')).toBe('/login')
    expect(unknown.headers.getSetCookie()).toEqual([])
  })

  test('has no icon, which a browser learns once in a week', async () => {
    const { status, headers } = await cardea.client.get('/favicon.ico')
    expect([status, headers.get('cache-control')]).toEqual([204, 'public, max-age=604800'])
  })

  test('is 404 for programs, and takes no other method', async () => {
    const answer = await cardea.client.get('/')
    expect(answer).toMatchObject({ status: 404, body: { code: 'not_found' } })
    expect((await cardea.client.post('/')).headers.get('allow')).toBe('GET, HEAD')
  })

  test('R101: the pages have no script, their one style, and forms to this origin only', async () => {
    const { someone } = await loggedIn()
    for (const path of ['/', '/logout']) {
      const { headers, page } = await someone.open(path)
      expect(headers.get('content-security-policy')).toMatch(
        /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'$/,
      )
      expect(headers.get('cache-control')).toBe('no-store')
      expect(page().all('script')).toEqual([])
    }
  })
})
