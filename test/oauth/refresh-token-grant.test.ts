import { afterAll, beforeEach, expect, test, vi } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { Answer, LoggedIn } from '../support/service/client.ts'
import { newServiceClient, postForm } from '../support/service/service-client.ts'

let account: TestAccount

const clock = fakeClock()
const cardea = await startCardea({ clock, instances: 2 })
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())
beforeEach(async () => {
  account = await cardea.createAccount()
})

const grant = (
  refreshToken: string,
  more: Readonly<Record<string, string>> = {},
  {
    authorization,
    client = cardea.client,
  }: { authorization?: string; client?: Cardea['client'] } = {},
): Promise<Answer> =>
  postForm(client, '/oauth/token', authorization, {
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
    ...more,
  })

const onPhone = (): Promise<LoggedIn> => cardea.client.logIn(account, { delivery: 'body' })

const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())

const expectRefused = (answer: Answer, error: string, status = 400) =>
  expect(answer).toMatchObject({ status, body: { error } })

test('R38: a refresh token of a native app becomes its successor and a new access token, in the form of OAuth', async () => {
  const first = await onPhone()
  const answer = await grant(first.refreshToken, { client_id: 'first-party' })
  expect(answer.status).toBe(200)
  expect(answer.body).toEqual({
    access_token: expect.any(String),
    token_type: 'Bearer',
    expires_in: 900,
    scope: 'account',
    refresh_token: expect.any(String),
  })
  expect(answer.headers.getSetCookie()).toEqual([])
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.body.refresh_token).not.toBe(first.refreshToken)
  const [before, after] = [claimsOf(first.accessToken), claimsOf(answer.body.access_token)]
  for (const claim of [...'sid sub client_id auth_time acr amr aep scope aud'.split(' ')]) {
    expect(after[claim], claim).toEqual(before[claim])
  }
  expect((await cardea.client.refreshByBody(answer.body.refresh_token)).status).toBe(200)
})

test('R40: at once with POST /refresh, over two instances, all converge on one successor', async () => {
  const { refreshToken } = await onPhone()
  const all = await Promise.all(
    Array.from({ length: 40 }, (_, turn) => {
      const client = cardea.clientOf(turn % 2)
      return turn % 4 < 2 ? grant(refreshToken, {}, { client }) : client.refreshByBody(refreshToken)
    }),
  )
  expect(new Set(all.map(({ status }) => status))).toEqual(new Set([200]))
  expect(new Set(all.map(({ body }) => body.refresh_token)).size).toBe(1)
  expect((await grant(all[0]?.body.refresh_token)).status).toBe(200)
})

test('R41: a rotated one after the grace is theft here, too: the session ends and the newest is dead', async () => {
  const { refreshToken } = await onPhone()
  const second = await grant(refreshToken)
  await grant(second.body.refresh_token)
  await trail()
  clock.advance(11_000)
  expectRefused(await grant(refreshToken), 'invalid_grant')
  expect((await trail()).map(({ event }) => event)).toEqual(['token_reuse'])
  expectRefused(await grant(second.body.refresh_token), 'invalid_grant')
})

test('R48: under another client it is invalid_grant, whoever proves to be it, and it is not consumed', async () => {
  const { refreshToken } = await onPhone()
  const service = await newServiceClient(cardea)
  const { authorization } = service
  expectRefused(await grant(refreshToken, {}, { authorization }), 'invalid_grant')
  expectRefused(await grant(refreshToken, { client_id: service.clientId }), 'invalid_grant')
  expectRefused(await grant(refreshToken, { client_id: 'other' }), 'invalid_grant')
  const wrong = { authorization: authorization.slice(0, -8) }
  expectRefused(await grant(refreshToken, {}, wrong), 'invalid_client', 401)
  // Still the current generation: nothing above has rotated it.
  clock.advance(11_000)
  expect((await grant(refreshToken)).status).toBe(200)
})

test('R49: a refresh cookie counts for nothing here, neither as a cookie nor in the form', async () => {
  const browser = await cardea.client.logIn(account)
  expectRefused(await grant(browser.refreshToken), 'invalid_grant')
  const asCookie = await cardea.client.post('/oauth/token', {
    body: 'grant_type=refresh_token',
    handle: browser.refreshToken,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  expectRefused(asCookie, 'invalid_request')
  const phone = await onPhone()
  const both = await cardea.client.post('/oauth/token', {
    body: `grant_type=refresh_token&refresh_token=${phone.refreshToken}`,
    handle: browser.refreshToken,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  expect([both.status, both.headers.getSetCookie()]).toEqual([200, []])
  clock.advance(11_000)
  expect((await cardea.client.refresh(browser.refreshToken)).status).toBe(200)
})

test('a scope beyond what the login was given is refused before anything is consumed', async () => {
  const { refreshToken } = await onPhone()
  for (const scope of ['orders:read', 'account orders:read', 'account  admin', 'é']) {
    expectRefused(await grant(refreshToken, { scope }), 'invalid_scope')
  }
  clock.advance(11_000)
  const answer = await grant(refreshToken, { scope: 'account' })
  expect([answer.status, answer.body.scope]).toEqual([200, 'account'])
  // The login was given no more, as it was no operator's.
  expectRefused(await grant(answer.body.refresh_token, { scope: 'account admin' }), 'invalid_scope')
})

test('what is made up, of an ended session, or of an account that is disabled is invalid_grant, and no 401', async () => {
  const { accessToken, refreshToken } = await onPhone()
  for (const made of ['x', 'A'.repeat(115), refreshToken.slice(0, -1), accessToken]) {
    expectRefused(await grant(made), 'invalid_grant')
  }
  await cardea.client.post('/logout', { body: { refresh_token: refreshToken } })
  expectRefused(await grant(refreshToken), 'invalid_grant')
  const other = await onPhone()
  const operator = await cardea.operatorToken()
  const body = { status: 'disabled' }
  await cardea.client.send('PATCH', `/admin/accounts/${account.id}`, { token: operator, body })
  expectRefused(await grant(other.refreshToken), 'invalid_grant')
})

test('R112: it is logged as a refresh is, with the session only by reference', async () => {
  const { refreshToken, body } = await onPhone()
  const lines = () => cardea.log.filter((line) => line.includes('token_refreshed'))
  await vi.waitFor(() => expect(lines().length).toBeGreaterThan(0))
  const before = lines().length
  const answer = await grant(refreshToken)
  await vi.waitFor(() => expect(lines().length).toBe(before + 1))
  const log = cardea.log.join('')
  for (const secret of [refreshToken, answer.body.refresh_token, body.session_id]) {
    expect(log).not.toContain(secret)
  }
})
