import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { type BrowserAnswer, formBrowser } from '../support/service/form-browser.ts'
import { returnsOf } from '../support/service/return-address.ts'

const hourMs = 3_600_000
const hours = 24

let account: TestAccount

const clock = fakeClock()
const cardea = await startCardea({ clock })
afterAll(() => cardea.stop())
beforeEach(async () => {
  account = await cardea.createAccount()
})

/** Names and attributes of the cookies that an answer sets, without those that it deletes and without the form's. */
const cookiesOf = ({ headers }: Pick<Answer | BrowserAnswer, 'headers'>) =>
  headers
    .getSetCookie()
    .filter((line) => !/; Max-Age=0(;|$)/i.test(line) && !line.startsWith('__Host-cardea-form='))
    .map((line) => ({ name: line.split('=')[0], line }))

const expectUntilClosed = (answer: Pick<Answer | BrowserAnswer, 'headers'>, names: string[]) => {
  const cookies = cookiesOf(answer)
  expect(cookies.map(({ name }) => name)).toEqual(names.map((name) => `__Host-cardea-${name}`))
  for (const { line } of cookies) {
    expect(line).not.toMatch(/Max-Age|Expires/i)
    expect(line).toMatch(/; Path=\/; HttpOnly; Secure; SameSite=(Strict|Lax)$/)
  }
}

const logIn = (more: Readonly<Record<string, unknown>>): Promise<Answer> => {
  const { email, password } = account
  return cardea.client.post('/login', { body: { email, password, persist: false, ...more } })
}

describe('R50: with "persist": false every cookie ends with the browser, and stays so', () => {
  test('for tokens: at the login and at every refresh, also one whose response was lost', async () => {
    const first = await logIn({})
    expectUntilClosed(first, ['refresh', 'device'])
    const second = await cardea.client.refresh(first.refreshCookie ?? '')
    expectUntilClosed(second, ['refresh'])
    expectUntilClosed(await cardea.client.refresh(first.refreshCookie ?? ''), ['refresh'])
    clock.advance(60_000)
    expectUntilClosed(await cardea.client.refresh(first.refreshCookie ?? ''), ['refresh'])
  })

  test('for a session cookie: at the login and at a step-up', async () => {
    const first = await logIn({ session: 'cookie' })
    expectUntilClosed(first, ['session', 'device'])
    const session = first.sessionCookie ?? ''
    const body = { password: account.password }
    const renewed = await cardea.client.post('/session/reauthenticate', { session, body })
    expectUntilClosed(renewed, ['session'])
    const next = renewed.sessionCookie ?? ''
    expect((await cardea.client.get('/session', { session: next })).status).toBe(200)
    const again = { session: next, body }
    expectUntilClosed(await cardea.client.post('/session/reauthenticate', again), ['session'])
  })

  test('for a sealed session: both cookies, at the login and at a refresh', async () => {
    const first = await logIn({ session: 'sealed' })
    expectUntilClosed(first, ['refresh', 'sealed', 'device'])
    expect(cookiesOf(first)[1]?.line).toMatch(/^__Host-cardea-sealed=[^;]/)
    const second = await cardea.client.refresh(first.refreshCookie ?? '')
    expectUntilClosed(second, ['refresh', 'sealed'])
  })

  test('for the login page, when its box is not ticked', async () => {
    const browser = formBrowser(cardea.client.address)
    const page = (await browser.open('/login')).page()
    const box = page.all('input').find(({ attributes }) => attributes.get('name') === 'persist')
    expect(box?.attributes.get('type')).toBe('checkbox')
    const { email, password } = account
    // A refusal leaves the box as it was.
    const refused = await browser.submit(page, { email, password: 'wrong', persist: undefined })
    const again = refused.page().all('input')
    const boxAgain = again.find(({ attributes }) => attributes.get('name') === 'persist')
    expect(boxAgain?.attributes.has('checked')).toBe(false)
    const answer = await browser.submit(refused.page(), { email, password })
    expect(answer.status).toBe(303)
    expectUntilClosed(answer, ['session', 'device'])
    // Asked to log in once more, the session goes on as it was begun, and nobody is asked about it.
    clock.advance(1_000)
    const token = returnsOf(cardea, clock).write('/secret', true)
    const asked = (await browser.open(`/login?return=${encodeURIComponent(token)}`)).page()
    expect(asked.all('input').some(({ attributes }) => attributes.get('name') === 'persist')).toBe(
      false,
    )
    expectUntilClosed(await browser.submit(asked, { email, password }), ['session'])
  })
})

describe('a login that does not ask for it', () => {
  test('is kept when the browser is closed, as with "persist": true', async () => {
    for (const persist of [undefined, true]) {
      for (const session of ['token', 'cookie', 'sealed']) {
        const answer = await logIn({ persist, session })
        const cookies = cookiesOf(answer)
        expect(cookies.length).toBeGreaterThan(1)
        for (const { line } of cookies) expect(line).toMatch(/; Max-Age=[1-9]/)
      }
    }
  })

  test('is kept by the login page, whose box is ticked', async () => {
    const browser = formBrowser(cardea.client.address)
    const page = (await browser.open('/login')).page()
    const { email, password } = account
    const answer = await browser.submit(page, { email, password })
    for (const { line } of cookiesOf(answer)) expect(line).toMatch(/; Max-Age=[1-9]/)
    expect(cookiesOf(answer)).toHaveLength(2)
  })
})

describe('R47: a session that ends with the browser ends after BROWSER_SESSION_HOURS in any case', () => {
  test.each(['cookie', 'body'] as const)('one with tokens, delivered by %s', async (delivery) => {
    const first = await logIn({ delivery })
    const present = (handle: string) =>
      delivery === 'cookie' ? cardea.client.refresh(handle) : cardea.client.refreshByBody(handle)
    const handleIn = ({ refreshCookie, body }: Answer): string =>
      refreshCookie ?? body.refresh_token
    let handle = handleIn(first)
    for (let turn = 0; turn < 2; turn += 1) {
      clock.advance(11 * hourMs)
      const answer = await present(handle)
      expect(answer.status).toBe(200)
      handle = handleIn(answer)
    }
    clock.advance(2 * hourMs - 1)
    const last = await present(handle)
    expect(last.status).toBe(200)
    clock.advance(1)
    expect(await present(handleIn(last))).toMatchObject({
      status: 401,
      body: { code: 'session_ended', reason: 'absolute_expired' },
    })
  })

  test('one with a session cookie, also after a step-up', async () => {
    const session = (await logIn({ session: 'cookie' })).sessionCookie ?? ''
    const { body } = await cardea.client.get('/session', { session })
    const { created_at: createdAt, absolute_expires_at: endsAt } = body.session
    expect(Date.parse(endsAt) - Date.parse(createdAt)).toBe(hours * hourMs)
    clock.advance(hours * hourMs - 1)
    const renewed = await cardea.client.post('/session/reauthenticate', {
      session,
      body: { password: account.password },
    })
    expect(renewed.status).toBe(200)
    clock.advance(1)
    for (const one of [session, renewed.sessionCookie ?? '']) {
      expect((await cardea.client.get('/session', { session: one })).status).toBe(401)
    }
  })
})

test('R118: "persist" is true or false', async () => {
  for (const persist of [null, 0, 'false', [], {}]) {
    expect(await logIn({ persist })).toMatchObject({
      status: 400,
      body: { code: 'invalid_request' },
    })
  }
})
