import { createHash } from 'node:crypto'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { formTokens } from '../../src/forward-auth/index.ts'
import { keyLabels, secretRing } from '../../src/keys/index.ts'
import { sendRaw } from '../http/toy-server.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import {
  type BrowserAnswer,
  type FormBrowser,
  formBrowser,
} from '../support/service/form-browser.ts'
import type { ParsedPage } from '../support/service/parsed-page.ts'
import { returnsOf } from '../support/service/return-address.ts'

const clock = fakeClock()
const cardea = await startCardea({ clock })
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())

const browser = (): FormBrowser => formBrowser(cardea.client.address)

const returnTo = (path: string, reauthenticates = false): string =>
  returnsOf(cardea, clock).write(path, reauthenticates)

const sessionCookie = '__Host-cardea-session'
const refreshCookie = '__Host-cardea-refresh'
const sealedCookie = '__Host-cardea-sealed'
const formCookie = '__Host-cardea-form'
const wrong = 'not the password of anybody'
const sameForAll = 'The e-mail address or the password is wrong.'

const credentialsOf = ({ email, password }: { email: string; password: string }) => ({
  email,
  password,
})

const alertIn = (page: ParsedPage): string | undefined => {
  const isShown = page.elements.some(({ attributes }) => attributes.get('role') === 'alert')
  const said = page.all('p').at(-1)?.text
  return isShown ? said : undefined
}

const fieldIn = (page: ParsedPage, name: string): string | undefined =>
  page
    .all('input')
    .find(({ attributes }) => attributes.get('name') === name)
    ?.attributes.get('value')

const namesWith = (page: ParsedPage, attribute: string): string[] =>
  page
    .all('input')
    .filter(({ attributes }) => attributes.has(attribute))
    .map(({ attributes }) => attributes.get('name') ?? '')

const wrongFieldsIn = (page: ParsedPage): string[] => namesWith(page, 'aria-invalid')

const focusedIn = (page: ParsedPage): string | undefined => namesWith(page, 'autofocus').join()

const expectRefused = (
  { status, headers, page }: BrowserAnswer,
  expected: { status: number; problem: string | RegExp },
): void => {
  expect(status).toBe(expected.status)
  expect(alertIn(page())).toMatch(expected.problem)
  expect(headers.get('cache-control')).toBe('no-store')
  const set = headers.getSetCookie().map((cookie) => cookie.split('=')[0])
  expect(set).toEqual([formCookie])
}

describe('the login page', () => {
  test('R101: is a page under a policy that allows its one style, its one script and its own form, and nothing else', async () => {
    const { status, headers, page } = await browser().open('/login')
    expect(status).toBe(200)
    const digestOf = (name: string) =>
      createHash('sha256').update(page().one(name).text).digest('base64')
    expect(headers.get('content-security-policy')).toBe(
      `default-src 'none'; style-src 'sha256-${digestOf('style')}'; script-src 'sha256-${digestOf('script')}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
    )
    expect(headers.get('cache-control')).toBe('no-store')
    expect(headers.get('referrer-policy')).toBe('no-referrer')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    const names = new Set(page().elements.map(({ name }) => name))
    for (const name of ['link', 'img', 'iframe', 'object', 'svg', 'base', 'a']) {
      expect(names.has(name), name).toBe(false)
    }
    const attributes = page().elements.flatMap((element) => [...element.attributes.keys()])
    expect(attributes.filter((name) => name === 'style' || name.startsWith('on'))).toEqual([])
    expect(page().one('style').text).not.toMatch(/url\(|@import|expression/)
    expect([...page().one('script').attributes]).toEqual([])
    // Whatever is asked for, the script is the same text: nothing of a request gets into it.
    const other = await browser().open(`/login?return=${returnTo('/a', true)}`, {
      host: 'a.example',
    })
    expect(other.page().one('script').text).toBe(page().one('script').text)
  })

  test('can be used by everybody: language, title, heading, labels, autocomplete, a visible focus, both colour schemes', async () => {
    const page = (await browser().open('/login')).page()
    expect(page.one('html').attributes.get('lang')).toBe('en')
    expect(page.one('title').text).toBe('Log in')
    expect(page.one('h1').text).toBe('Log in')
    expect(page.all('main')).toHaveLength(1)
    const [show, submit] = page.all('button').map((button) => button)
    expect([submit?.text, submit?.attributes.get('type')]).toEqual(['Log in', 'submit'])
    // Without script it is not there; with it, it says what it does and is no part of the form.
    expect(show?.attributes.has('hidden')).toBe(true)
    expect(show?.attributes.get('type')).toBe('button')
    expect(show?.attributes.get('aria-label')).toBe('Show password')
    const viewport = page.all('meta').find((meta) => meta.attributes.get('name') === 'viewport')
    expect(viewport?.attributes.get('content')).toBe('width=device-width, initial-scale=1')
    const visible = page
      .all('input')
      .filter(({ attributes }) => attributes.get('type') !== 'hidden')
      .map(({ attributes }) => attributes)
    const labels = page.all('label').map((label) => label.attributes.get('for'))
    expect(labels).toEqual(visible.map((input) => input.get('id')))
    const texts = page.all('label').map(({ text }) => text)
    expect(texts).toEqual(['E-mail address', 'Password', 'Keep me logged in'])
    const typed = visible.filter((input) => input.get('type') !== 'checkbox')
    expect(typed.map((input) => input.get('autocomplete'))).toEqual([
      'username',
      'current-password',
    ])
    expect(typed.every((input) => input.has('required'))).toBe(true)
    expect(typed.map((input) => input.has('autofocus'))).toEqual([true, false])
    expect(typed.some((input) => input.has('aria-invalid'))).toBe(false)
    const ids = page.elements.flatMap(({ attributes }) => attributes.get('id') ?? [])
    expect(new Set(ids).size).toBe(ids.length)
    const style = page.one('style').text
    expect(style).toContain(':focus-visible')
    expect(style).toContain('prefers-color-scheme: dark')
    expect(style).not.toMatch(/outline: (none|0)/)
    // Lengths grow with the text, or the page would not survive being enlarged; thin lines may stay thin.
    expect([...style.matchAll(/(\d+)px/g)].every(([, px]) => Number(px) <= 3)).toBe(true)
  })

  test('R102: is 405 for everyone who does not ask for a page by name', async () => {
    for (const accept of ['*/*', 'application/json', 'text/*', 'text/html;q=0', 'text/htmlx', '']) {
      const answer = await cardea.client.get('/login', { headers: { accept } })
      expect(answer, accept).toMatchObject({ status: 405, body: { code: 'method_not_allowed' } })
      expect(answer.headers.get('allow')).toBe('POST')
      expect(answer.headers.get('set-cookie')).toBeNull()
    }
    const preferred = { accept: 'text/html;q=0.5, application/json' }
    expect((await cardea.client.get('/login', { headers: preferred })).status).toBe(405)
    expect((await cardea.client.send('PUT', '/login')).headers.get('allow')).toBe('GET, HEAD, POST')
    expect((await browser().open('/login/form')).status).toBe(405)
  })

  test.each([
    ['192.168.1.5:8088', 403],
    ['login.example.com', 403],
    ['localhost:8088', 200],
    ['auth.localhost', 200],
    ['127.0.0.1:8088', 200],
    ['[::1]:8088', 200],
  ])(
    'over plain HTTP at %s is %i: no form where browsers keep none of its cookies',
    async (host, status) => {
      const port = Number(new URL(cardea.client.address).port)
      const answer = await sendRaw(port, 'GET /login', ['Accept: text/html', `Host: ${host}`])
      expect(answer.status).toBe(status)
      expect(answer.body.includes('<form')).toBe(status === 200)
      expect(answer.body.includes('works over HTTPS only')).toBe(status === 403)
      expect(answer.headers.has('set-cookie')).toBe(status === 200)
    },
  )

  test('over plain HTTP in production it has no form, and neither has the logout page', async () => {
    const production = await startCardea({ config: { production: true } })
    onTestFinished(() => production.stop())
    for (const path of ['/login', '/logout']) {
      const someone = formBrowser(production.client.address)
      const { status, headers, text } = await someone.open(path)
      expect([status, headers.getSetCookie()]).toEqual([403, []])
      expect(text).toContain('works over HTTPS only')
      expect(text).not.toContain('<form')
    }
  })

  test('R67: changes nothing when it is opened, and answers HEAD', async () => {
    await trail()
    const headers = { accept: 'text/html' }
    const answer = await cardea.client.send('HEAD', '/login', { headers })
    expect(answer.status).toBe(200)
    expect(answer.text).toBe('')
    await browser().open(`/login?return=${returnTo('/a')}&email=a&password=b`)
    expect(await trail()).toEqual([])
  })

  test('binds its form to a cookie that no script and no other site gets', async () => {
    const someone = browser()
    const { headers, page } = await someone.open('/login')
    expect(headers.getSetCookie()).toEqual([
      `${formCookie}=${someone.cookies.get(formCookie)}; Max-Age=3600; Path=/; HttpOnly; Secure; SameSite=Strict`,
    ])
    expect(fieldIn(page(), 'form')).toMatch(/^[\w-]{43}$/)
    expect(fieldIn(page(), 'form')).not.toContain(someone.cookies.get(formCookie))
  })
})

describe('logging in with the form', () => {
  test('R64 R65: leads to a cookie session and back where one was', async () => {
    const account = await cardea.createAccount(['editor'])
    const someone = browser()
    await trail()
    const { page } = await someone.open(`/login?return=${returnTo('/reports?year=2026&a=%22')}`)
    const answer = await someone.submit(page(), credentialsOf(account))
    expect(answer.status).toBe(303)
    expect(answer.text).toBe('')
    expect(answer.headers.get('location')).toBe('/reports?year=2026&a=%22')
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const [session = '', device = ''] = answer.headers.getSetCookie()
    expect(session).toMatch(
      /^__Host-cardea-session=[\w-]+; Max-Age=\d+; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    )
    expect(device).toMatch(/^__Host-cardea-device=/)
    const seen = await cardea.client.get('/session', {
      session: someone.cookies.get(sessionCookie) ?? '',
    })
    expect(seen).toMatchObject({ status: 200, body: { account: { id: account.id } } })
    expect(await trail()).toMatchObject([
      { event: 'login_succeeded', outcome: 'success', account: account.id },
    ])
  })

  test('R122: takes an address as autofill writes it, with blanks around it', async () => {
    const account = await cardea.createAccount()
    for (const returnToken of ['', returnTo('/a', true)]) {
      const someone = browser()
      const { page } = await someone.open(`/login?return=${returnToken}`)
      const email = ` ${account.email}\u00a0`
      const answer = await someone.submit(page(), { email, password: account.password })
      expect(answer.status).toBe(303)
    }
  })

  test('an address that is not signed, altered, or too old leads to / and never to an error', async () => {
    const account = await cardea.createAccount()
    const old = returnTo('/old')
    clock.advance(3_601_000)
    const good = returnTo('/a')
    const flipped = `${good.slice(0, -4)}${good.at(-4) === 'A' ? 'B' : 'A'}${good.slice(-3)}`
    const made = ['', '/reports', '//evil.example', 'javascript:alert(1)', 'x&y', '"><b>']
    for (const token of [...made, old, flipped]) {
      const someone = browser()
      const { status, page } = await someone.open(`/login?return=${encodeURIComponent(token)}`)
      expect(status, token).toBe(200)
      expect(fieldIn(page(), 'return')).toBe('')
      const answer = await someone.submit(page(), credentialsOf(account))
      expect(answer.status, token).toBe(303)
      expect(answer.headers.get('location'), token).toBe('/')
    }
    const twice = await browser().open(`/login?return=${good}&return=${good}`)
    expect(fieldIn(twice.page(), 'return')).toBe('')
    // And one that grew old while the form was filled in.
    const someone = browser()
    const { page } = await someone.open(`/login?return=${good}`)
    clock.advance(3_601_000)
    const answer = await someone.submit(page(), credentialsOf(account))
    expect(answer.headers.get('location')).toBe('/')
  })

  test('every refusal of the credentials is the same page with status 401, and only the address is repeated', async () => {
    const account = await cardea.createAccount()
    const disabled = await cardea.createAccount()
    const token = await cardea.operatorToken()
    const patch = { token, body: { status: 'disabled' } }
    await cardea.client.send('PATCH', `/admin/accounts/${disabled.id}`, patch)
    await trail()
    const attempts = [
      { email: account.email, password: wrong },
      { email: 'nobody-at-all@example.com', password: wrong },
      credentialsOf(disabled),
    ]
    const pages = new Set<string>()
    for (const attempt of attempts) {
      const someone = browser()
      const { page } = await someone.open(`/login?return=${returnTo('/a')}`)
      const answer = await someone.submit(page(), attempt)
      expectRefused(answer, { status: 401, problem: sameForAll })
      expect(fieldIn(answer.page(), 'email')).toBe(attempt.email)
      expect(answer.text).not.toContain(attempt.password)
      expect(answer.page().one('title').text).toBe('Error: Log in')
      expect(wrongFieldsIn(answer.page())).toEqual(['email', 'password'])
      expect(focusedIn(answer.page())).toBe('password')
      const described = answer
        .page()
        .elements.filter(({ attributes }) => attributes.has('aria-describedby'))
      expect(described.map(({ attributes }) => attributes.get('aria-describedby'))).toEqual([
        'problem',
        'problem',
      ])
      const hidden = /value="[\w-]{43,}"/g
      pages.add(answer.text.replace(attempt.email, '').replaceAll(hidden, ''))
    }
    expect(pages.size).toBe(1)
    const reasons = (await trail()).map(({ event, reason }) => `${event} ${reason}`)
    expect(reasons).toEqual([
      'login_failed wrong_password',
      'login_failed unknown_account',
      'login_failed account_disabled',
    ])
  })

  test('the form of a page with a mistake in it can be sent again', async () => {
    const account = await cardea.createAccount()
    const someone = browser()
    const { page } = await someone.open(`/login?return=${returnTo('/a')}`)
    const refused = await someone.submit(page(), { email: account.email, password: wrong })
    const answer = await someone.submit(refused.page(), { password: account.password })
    expect(answer.status).toBe(303)
    expect(answer.headers.get('location')).toBe('/a')
  })

  test('what is missing, no address, or too long is told in words', async () => {
    const both = 'Enter your e-mail address and your password.'
    const problems: readonly (readonly [Record<string, string>, string | RegExp, string[]])[] = [
      [{ email: '', password: '' }, both, ['email', 'password']],
      [{ email: 'a@example.com', password: '' }, both, ['password']],
      [{ email: '', password: wrong }, both, ['email']],
      [{ email: 'no address', password: wrong }, 'The e-mail address cannot be used.', ['email']],
      [
        { email: `${'a'.repeat(400)}@example.com`, password: wrong },
        'The e-mail address cannot be used.',
        ['email'],
      ],
      [
        { email: 'a@example.com', password: 'a'.repeat(1025) },
        'The password is not valid text.',
        ['password'],
      ],
    ]
    for (const [fields, problem, wrongFields] of problems) {
      const someone = browser()
      const { page } = await someone.open('/login')
      const answer = await someone.submit(page(), fields)
      expectRefused(answer, { status: 400, problem })
      expect(wrongFieldsIn(answer.page())).toEqual(wrongFields)
    }
  })

  test('what was typed is text in the page, never markup', async () => {
    const hostile = '"><script>alert(1)</script><input value=\'&amp;"@example.com'
    const someone = browser()
    const { page } = await someone.open('/login')
    const answer = await someone.submit(page(), { email: hostile, password: wrong })
    expect(answer.status).toBe(400)
    expect(answer.page().one('script').text).toBe(page().one('script').text)
    expect(fieldIn(answer.page(), 'email')).toBe(hostile)
  })

  test('has the limits of every login, and says how long to wait', async () => {
    const account = await cardea.createAccount()
    const someone = browser()
    const attempt = async () => {
      const { page } = await someone.open('/login')
      return someone.submit(page(), { email: account.email, password: wrong })
    }
    for (let turn = 0; turn < 4; turn += 1) expect((await attempt()).status).toBe(401)
    const limited = await attempt()
    expectRefused(limited, { status: 429, problem: 'Too many attempts. Try again in a minute.' })
    expect(wrongFieldsIn(limited.page())).toEqual([])
    expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0)
    const body = credentialsOf(account)
    expect((await cardea.client.post('/login', { body })).status).toBe(429)
  })

  test('a device that logged in with it is known at the next login', async () => {
    const account = await cardea.createAccount()
    const someone = browser()
    for (const knownDevice of [false, true]) {
      await trail()
      someone.cookies.delete(sessionCookie)
      const { page } = await someone.open('/login')
      expect((await someone.submit(page(), credentialsOf(account))).status).toBe(303)
      expect(await trail()).toMatchObject([{ details: { knownDevice } }])
    }
  })
})

describe('who is logged in already', () => {
  const loggedIn = async () => {
    const account = await cardea.createAccount()
    const someone = browser()
    someone.cookies.set(sessionCookie, await cardea.client.logInForCookie(account))
    return { account, someone }
  }

  const cart = { cart: ['tea'] }

  const keepCart = async (session: string): Promise<void> => {
    const headers = { 'if-match': '"0"' }
    const kept = await cardea.client.send('PUT', '/session/data', { session, headers, body: cart })
    expect(kept.status, kept.text).toBeLessThan(300)
  }

  test('is sent on at once', async () => {
    const { someone } = await loggedIn()
    for (const [query, path] of [
      ['', '/'],
      [`?return=${returnTo('/a?b=c')}`, '/a?b=c'],
      ['?return=x', '/'],
    ] as const) {
      const answer = await someone.open(`/login${query}`)
      expect(answer.status).toBe(303)
      expect(answer.headers.get('location')).toBe(path)
      expect(answer.headers.getSetCookie()).toEqual([])
    }
  })

  test('R52: is asked again where that is wanted, and keeps the session and its data under a new handle; the old one is dead', async () => {
    const { account, someone } = await loggedIn()
    const before = someone.cookies.get(sessionCookie) ?? ''
    const seenWith = async (session: string) =>
      (await cardea.client.get('/session', { session })).body
    const ofBefore = await seenWith(before)
    await keepCart(before)
    clock.advance(10_000)
    const address = `/login?return=${returnTo('/a', true)}`
    const { status, page } = await someone.open(address)
    expect(status).toBe(200)
    expect(
      page()
        .all('p')
        .map(({ text }) => text),
    ).toEqual(['to ', 'What you want to open asks you to log in again.'])
    clock.advance(1000)
    await trail()
    // As they write it today: it is the same address.
    const email = account.email.toUpperCase()
    const answer = await someone.submit(page(), { email, password: account.password })
    expect(answer.headers.get('location')).toBe('/a')
    expect(await trail()).toMatchObject([
      { event: 'session_reauthenticated', outcome: 'success', account: account.id },
    ])
    const after = someone.cookies.get(sessionCookie) ?? ''
    expect(after).not.toBe(before)
    const statusOf = async (session: string) =>
      (await cardea.client.get('/forward-auth?max_age=5', { session })).status
    expect(await statusOf(after)).toBe(200)
    expect(await statusOf(before)).toBe(401)
    const { id, created_at } = ofBefore.session
    expect(await seenWith(after)).toMatchObject({ session: { id, created_at }, data: cart })
    // Once done, the same address asks no more.
    expect((await someone.open(address)).status).toBe(303)
  })

  test('R52: is asked again, and somebody else logs in: a session of their own, and the old one has ended', async () => {
    const { someone } = await loggedIn()
    const before = someone.cookies.get(sessionCookie) ?? ''
    await keepCart(before)
    clock.advance(10_000)
    const other = await cardea.createAccount()
    const { page } = await someone.open(`/login?return=${returnTo('/a', true)}`)
    expect((await someone.submit(page(), credentialsOf(other))).status).toBe(303)
    const session = someone.cookies.get(sessionCookie) ?? ''
    const { body } = await cardea.client.get('/session', { session })
    expect(body.account.id).toBe(other.id)
    expect(body.data).not.toEqual(cart)
    expect((await cardea.client.get('/forward-auth', { session: before })).status).toBe(401)
  })

  test('is asked again, and the session has ended meanwhile: a new one', async () => {
    const { account, someone } = await loggedIn()
    const before = someone.cookies.get(sessionCookie) ?? ''
    clock.advance(10_000)
    const { page } = await someone.open(`/login?return=${returnTo('/a', true)}`)
    await cardea.client.post('/logout', { session: before })
    await trail()
    const answer = await someone.submit(page(), credentialsOf(account))
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/a'])
    expect(await trail()).toMatchObject([{ event: 'login_succeeded' }])
  })

  test.each([
    ['sealed', true],
    ['token', false],
  ])('R52: with a session of kind %s only: %j that it ends', async (session, ends) => {
    const account = await cardea.createAccount()
    const someone = browser()
    const before = await cardea.client.logIn(account, { session })
    someone.cookies.set(refreshCookie, before.refreshToken)
    if (session === 'sealed') someone.cookies.set(sealedCookie, 'of that session')
    const { page } = await someone.open(`/login?return=${returnTo('/a')}`)
    expect((await someone.submit(page(), credentialsOf(account))).status).toBe(303)
    expect(someone.cookies.has(refreshCookie)).toBe(!ends)
    expect(someone.cookies.has(sealedCookie)).toBe(false)
    expect((await cardea.client.refresh(before.refreshToken)).status).toBe(ends ? 401 : 200)
  })

  test('R57: two refresh cookies are refused before the password is looked at, and nothing has changed', async () => {
    const { account, someone } = await loggedIn()
    const { refreshToken } = await cardea.client.logIn(account)
    clock.advance(10_000)
    const { page } = await someone.open(`/login?return=${returnTo('/a', true)}`)
    someone.cookies.set(refreshCookie, `${refreshToken}; ${refreshCookie}=x`)
    await trail()
    const answer = await someone.submit(page(), credentialsOf(account))
    expectRefused(answer, { status: 400, problem: /sent more than once/ })
    expect(await trail()).toEqual([])
    const session = someone.cookies.get(sessionCookie) ?? ''
    expect((await cardea.client.get('/forward-auth', { session })).status).toBe(200)
    expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
  })

  test('a wrong password there leaves the session as it was', async () => {
    const { account, someone } = await loggedIn()
    clock.advance(10_000)
    const { page } = await someone.open(`/login?return=${returnTo('/a', true)}`)
    const answer = await someone.submit(page(), { email: account.email, password: wrong })
    expectRefused(answer, { status: 401, problem: sameForAll })
    const session = someone.cookies.get(sessionCookie) ?? ''
    expect((await cardea.client.get('/forward-auth', { session })).status).toBe(200)
  })

  test('two session cookies are refused with a page', async () => {
    const { someone } = await loggedIn()
    const session = someone.cookies.get(sessionCookie)
    const cookie = `${sessionCookie}=${session}; ${sessionCookie}=x`
    const answer = await someone.open('/login', { cookie })
    expectRefused(answer, { status: 400, problem: /sent more than once/ })
  })
})

describe('a form that is not from our page', () => {
  const form = async () => {
    const account = await cardea.createAccount()
    const someone = browser()
    const { page } = await someone.open(`/login?return=${returnTo('/a')}`)
    return { account, someone, page: page() }
  }

  const expired = { status: 403, problem: /not made for this browser, or is too old/ }

  test('R68: without the cookie, the field, or with those of another browser or return address is 403 and a new form', async () => {
    const { account, someone, page } = await form()
    const stranger = await form()
    const fields = credentialsOf(account)
    const cookie = someone.cookies.get(formCookie) ?? ''
    const theirs = stranger.someone.cookies.get(formCookie) ?? ''
    const [otherKey] = secretRing(cardea.stores.secrets).derive(keyLabels.returnAddress)
    const returnToken = fieldIn(page, 'return') ?? ''
    const attempts: readonly (readonly [string, Record<string, string>])[] = [
      ['', fields],
      ['x', fields],
      [theirs, fields],
      [cookie, { ...fields, form: '' }],
      [cookie, { ...fields, form: 'x' }],
      [cookie, { ...fields, form: `${fieldIn(page, 'form')}=` }],
      [cookie, { ...fields, form: fieldIn(stranger.page, 'form') ?? '' }],
      [cookie, { ...fields, form: formTokens([otherKey]).write(cookie, returnToken) }],
      [cookie, { ...fields, return: '' }],
      [cookie, { ...fields, return: returnTo('/admin/delete-everything') }],
    ]
    await trail()
    for (const [value, sent] of attempts) {
      if (value === '') someone.cookies.delete(formCookie)
      else someone.cookies.set(formCookie, value)
      const answer = await someone.submit(page, sent)
      expectRefused(answer, expired)
      expect(fieldIn(answer.page(), 'email')).toBe(account.email)
    }
    expect(await trail()).toEqual([])
    someone.cookies.set(formCookie, cookie)
    expect((await someone.submit(page, fields)).status).toBe(303)
  })

  test('R68: the new form works, and two tabs of one browser do not disturb each other', async () => {
    const { account, someone, page } = await form()
    const second = (await someone.open('/login')).page()
    expect((await someone.submit(page, { email: account.email, password: wrong })).status).toBe(401)
    someone.cookies.delete(formCookie)
    const fresh = await someone.submit(second, credentialsOf(account))
    expectRefused(fresh, expired)
    const answer = await someone.submit(fresh.page(), credentialsOf(account))
    expect(answer.status).toBe(303)
  })

  test('R62 R63: from a page of another origin is 403 and signs nobody in', async () => {
    const { account, someone, page } = await form()
    await trail()
    for (const headers of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'cross-site', origin: cardea.config.issuer },
    ]) {
      const answer = await someone.submit(page, credentialsOf(account), headers)
      expect([answer.status, alertIn(answer.page())]).toEqual([
        403,
        expect.stringMatching(/web origin|another site/),
      ])
      // A cookie would break the forms in the other tabs of this browser: the one that it has did not come along.
      expect(answer.headers.getSetCookie()).toEqual([])
      expect(answer.page().one('a').attributes.get('href')).toBe('/login')
    }
    // A browser too old to say where a request comes from says at least of which origin.
    const cookie = `${formCookie}=${someone.cookies.get(formCookie)}`
    const type = 'application/x-www-form-urlencoded'
    const fields = { ...credentialsOf(account), form: fieldIn(page, 'form') ?? '' }
    const body = new URLSearchParams({
      ...fields,
      return: fieldIn(page, 'return') ?? '',
    }).toString()
    for (const origin of ['null', 'https://evil.example', `${cardea.config.issuer}.evil.example`]) {
      const headers = { 'content-type': type, cookie, origin }
      const answer = await cardea.client.send('POST', '/login/form', { headers, body })
      expect(answer.status, origin).toBe(403)
      expect(answer.headers.getSetCookie(), origin).toEqual([])
    }
    expect(await trail()).toEqual([])
  })

  test('R65: of another type, compressed, or twice with a field is refused', async () => {
    const { account, someone, page } = await form()
    const send = (headers: Record<string, string>, body: string) =>
      cardea.client.send('POST', '/login/form', { headers, body })
    const cookie = `${formCookie}=${someone.cookies.get(formCookie)}`
    const fields = {
      ...credentialsOf(account),
      form: fieldIn(page, 'form') ?? '',
      return: fieldIn(page, 'return') ?? '',
    }
    const good = new URLSearchParams(fields).toString()
    const type = 'application/x-www-form-urlencoded'
    const refused: readonly (readonly [number, Record<string, string>, string])[] = [
      [415, { 'content-type': 'application/json' }, JSON.stringify(fields)],
      [415, { 'content-type': 'text/plain' }, good],
      [415, { 'content-type': 'multipart/form-data; boundary=x' }, good],
      [415, { 'content-type': type, 'content-encoding': 'gzip' }, good],
      [400, { 'content-type': type }, `${good}&password=x`],
      [400, { 'content-type': type }, `${good}&admin=1`],
      [413, { 'content-type': type }, `${good}&x=${'a'.repeat(8192)}`],
    ]
    await trail()
    for (const [status, headers, body] of refused) {
      const answer = await send({ ...headers, cookie }, body)
      expect(answer.status, JSON.stringify(headers)).toBe(status)
      expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
      expect(answer.sessionCookie).toBeUndefined()
    }
    expect(await trail()).toEqual([])
    expect((await send({ 'content-type': type, cookie }, good)).status).toBe(303)
  })

  test('R64 R65: no other route takes one', async () => {
    const { account, someone, page } = await form()
    const cookie = `${formCookie}=${someone.cookies.get(formCookie)}`
    const body = new URLSearchParams({
      ...credentialsOf(account),
      form: fieldIn(page, 'form') ?? '',
    })
    const headers = { 'content-type': 'application/x-www-form-urlencoded', cookie }
    for (const path of ['/login', '/logout', '/refresh', '/session/reauthenticate']) {
      const answer = await cardea.client.send('POST', path, { headers, body: body.toString() })
      expect(answer.status, path).toBe(415)
    }
  })
})
