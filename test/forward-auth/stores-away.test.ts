import { afterAll, expect, onTestFinished, test, vi } from 'vitest'
import { startPostgres } from '../support/servers/postgres-server.ts'
import { startCardea } from '../support/service/cardea.ts'
import { formBrowser } from '../support/service/form-browser.ts'

const postgres = await startPostgres()
const config = { databaseConnectTimeoutMs: 1_000, databaseStatementTimeoutMs: 1_000 }
const cardea = await startCardea({ database: postgres, redisUrl: null, config })
const account = await cardea.createAccount(['editor'])
afterAll(async () => {
  await cardea.stop()
  await postgres.stop()
})

test('R58: with Postgres away forward-auth is 503, never a pass and never a way to the login page, and afterwards as before', async () => {
  const session = await cardea.client.logInForCookie(account)
  await postgres.kill()
  try {
    for (const query of ['', '?role=editor', '?token=1', '?login=redirect']) {
      const headers = { accept: 'text/html' }
      const answer = await cardea.client.get(`/forward-auth${query}`, { session, headers })
      expect(answer.status, query).toBe(503)
      expect(answer.body).toMatchObject({ code: 'store_unavailable' })
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(answer.headers.get('cache-control')).toBe('no-store')
      for (const name of ['location', 'set-cookie', 'x-auth-account', 'www-authenticate']) {
        expect(answer.headers.has(name), name).toBe(false)
      }
    }
  } finally {
    await postgres.restart()
  }
  await vi.waitFor(async () => {
    const answer = await cardea.client.get('/forward-auth', { session })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('x-auth-account')).toBe(account.id)
  })
})

test('R58: with Postgres known to be away strangers, tokens and what was made up get 503 too, and afterwards what they got before', async () => {
  const { accessToken } = await cardea.client.logIn(account)
  const headers = { accept: 'text/html' }
  const basic = { ...headers, authorization: 'Basic dTpw' }
  const everybody = [
    { headers },
    { headers, session: 'x' },
    { headers, token: accessToken },
    { headers, token: 'x' },
    { headers: basic },
  ]
  const answers = () => Promise.all(everybody.map((who) => cardea.client.get('/forward-auth', who)))
  const statuses = async () => (await answers()).map(({ status }) => status)
  const before = [401, 401, 200, 401, 401]
  await expect.poll(statuses).toEqual(before)
  await postgres.kill()
  try {
    await expect.poll(statuses).toEqual(everybody.map(() => 503))
    for (const { body, headers: said } of await answers()) {
      expect(body).toMatchObject({ code: 'store_unavailable' })
      expect(Number(said.get('retry-after'))).toBeGreaterThan(0)
      for (const name of ['location', 'x-auth-account', 'www-authenticate']) {
        expect(said.has(name), name).toBe(false)
      }
    }
    const answer = await cardea.client.get('/forward-auth?login=redirect', { headers })
    expect(answer.status).toBe(503)
  } finally {
    await postgres.restart()
  }
  await expect.poll(statuses).toEqual(before)
})

test('with Postgres away the login page is there for strangers, and its form and signed-in people get it with 503', async () => {
  const stranger = formBrowser(cardea.client.address)
  const owner = formBrowser(cardea.client.address)
  owner.cookies.set('__Host-cardea-session', await cardea.client.logInForCookie(account))
  await postgres.kill()
  onTestFinished(async () => {
    await postgres.restart()
  })
  const opened = await stranger.open('/login')
  expect(opened.status).toBe(200)
  const { email, password } = account
  const sent = await stranger.submit(opened.page(), { email, password })
  for (const answer of [sent, await owner.open('/login')]) {
    expect(answer.status).toBe(503)
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
    const alert = 'You cannot log in now. Try again in a moment.'
    expect(answer.page().all('p').at(-1)?.text).toBe(alert)
    expect(answer.headers.getSetCookie().map((line) => line.split('=')[0])).toEqual([
      '__Host-cardea-form',
    ])
  }
  const failures = cardea.log.filter((line) => line.includes('"code":"store_unavailable"'))
  expect(failures.length).toBeGreaterThan(0)
})

test('with Postgres away the logout page is there; its form and the start page get 503, and the cookie stays', async () => {
  const owner = formBrowser(cardea.client.address)
  owner.cookies.set('__Host-cardea-session', await cardea.client.logInForCookie(account))
  await postgres.kill()
  onTestFinished(async () => {
    await postgres.restart()
  })
  const opened = await owner.open('/logout')
  expect(opened.status).toBe(200)
  const sent = await owner.submit(opened.page(), {})
  expect(sent.status).toBe(503)
  expect(sent.text).toContain('You cannot be logged out now. Try again in a moment.')
  expect(sent.headers.getSetCookie().map((line) => line.split('=')[0])).toEqual([
    '__Host-cardea-form',
  ])
  const home = await owner.open('/')
  expect([home.status, home.headers.get('content-type')]).toEqual([503, 'text/html; charset=utf-8'])
  for (const answer of [sent, home]) {
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
  }
})
