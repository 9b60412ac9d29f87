import { request } from 'node:http'
import { afterAll, expect, test, vi } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea, testPassword } from '../support/service/cardea.ts'
import { formBrowser } from '../support/service/form-browser.ts'

const clock = fakeClock()
const cardea = await startCardea({ clock, instances: 2, config: { logLevel: 'debug' } })
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())

const stepUp = async (session: string): Promise<string> => {
  const body = { password: testPassword }
  const { sessionCookie } = await cardea.client.post('/session/reauthenticate', { session, body })
  return sessionCookie ?? ''
}

/** A session whose first step-up was believed lost: the three handles of it, of which `orphan` was given out in between. */
const stepUpTwice = async () => {
  const account = await cardea.createAccount()
  const first = await cardea.client.logInForCookie(account)
  const orphan = await stepUp(first)
  clock.advance(cardea.config.refreshGraceSeconds * 1000)
  const newest = await stepUp(first)
  await trail()
  return { account, first, orphan, newest }
}

const ask = (session: string, instance = 0, method = 'GET') =>
  cardea.clientOf(instance).send(method, '/forward-auth', { session })

test.each(['GET', 'HEAD'])(
  'I14: %s of forward-auth with the cookie of a step-up that was believed lost ends the session',
  async (method) => {
    const { account, first, orphan, newest } = await stepUpTwice()
    expect((await ask(first)).status).toBe(200)
    const refused = await ask(orphan, 0, method)
    expect(refused.status).toBe(401)
    expect(refused.headers.get('location')).toMatch(/^\/login\?return=/)
    expect(refused.headers.getSetCookie()).toEqual([])
    expect(await trail()).toMatchObject([
      { event: 'token_reuse', account: account.id, address: '127.0.0.1' },
    ])
    for (const handle of [first, newest]) {
      for (const instance of [0, 1]) expect((await ask(handle, instance)).status).toBe(401)
      const { body } = await cardea.client.get('/session', { session: handle })
      expect(body).toMatchObject({ code: 'invalid_session', reason: 'token_reuse' })
    }
  },
)

test('I14: many requests at once with an orphaned cookie end the session once, and pass nobody', async () => {
  const { orphan, newest } = await stepUpTwice()
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, place) => ask(orphan, place % 2)),
  )
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([401]))
  expect(await trail()).toMatchObject([{ event: 'token_reuse' }])
  for (const instance of [0, 1]) expect((await ask(newest, instance)).status).toBe(401)
})

test('I14: the login page ends the session of an orphaned cookie, when it is opened and when it is filled in', async () => {
  const opened = await stepUpTwice()
  const thief = formBrowser(cardea.client.address)
  thief.cookies.set('__Host-cardea-session', opened.orphan)
  expect((await thief.open('/login')).status).toBe(200)
  expect(await trail()).toMatchObject([{ event: 'token_reuse', account: opened.account.id }])

  // The page was opened before the cookie came: by the person, who is asked for the password once more.
  const { account, first, orphan } = await stepUpTwice()
  const browser = formBrowser(cardea.client.address)
  browser.cookies.set('__Host-cardea-session', first)
  clock.advance(2_000)
  const tooOld = await cardea.client.get('/forward-auth?max_age=1', { session: first })
  const page = (await browser.open(tooOld.headers.get('location') ?? '')).page()
  browser.cookies.set('__Host-cardea-session', orphan)
  const { email, password } = account
  expect((await browser.submit(page, { email, password })).status).toBe(303)
  expect(await trail()).toMatchObject([{ event: 'token_reuse' }, { event: 'login_succeeded' }])
  expect((await ask(browser.cookies.get('__Host-cardea-session') ?? '')).status).toBe(200)
})

test('a cookie from before a step-up ends nothing at forward-auth: a request may have been under way', async () => {
  const { first, newest } = await stepUpTwice()
  expect((await ask(newest)).status).toBe(200)
  await trail()
  for (const instance of [0, 1]) expect((await ask(first, instance)).status).toBe(401)
  expect(await trail()).toEqual([])
  expect((await ask(newest, 1)).status).toBe(200)
})

test('R41: forward-auth ends no session on the word of a caller who has gone', async () => {
  const { orphan, newest } = await stepUpTwice()
  const headers = { cookie: `__Host-cardea-session=${orphan}` }
  const before = cardea.log.length
  const leaving = request(`${cardea.client.address}/forward-auth`, { headers })
  leaving.on('error', () => undefined)
  leaving.end(() => leaving.destroy())
  const isRefused = () =>
    cardea.log.slice(before).some((line) => line.includes('"sign_in_required"'))
  await vi.waitUntil(isRefused)
  expect(await trail()).toEqual([])
  expect((await ask(newest)).status).toBe(200)
})
