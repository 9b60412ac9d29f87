import { afterAll, expect, test } from 'vitest'
import { isId } from '../../src/lib/machine.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { type AuditEntry, auditEntries } from '../support/service/audit-entries.ts'
import { startCardea, type TestAccount, testPassword } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'

const clock = fakeClock()
const cardea = await startCardea({ clock, redisUrl: null })
const token = await cardea.operatorToken()
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())

const userAgent = 'a browser of the tests'

/** What an act left in the trail: the one entry that there must be. */
const entryOf = async (
  act: () => Promise<Answer>,
): Promise<{ answer: Answer; entry: AuditEntry }> => {
  await trail()
  const answer = await act()
  const entries = await trail()
  expect(entries, JSON.stringify(entries)).toHaveLength(1)
  const [entry] = entries
  if (!entry) throw new Error('no entry')
  // When, to the millisecond of the service's clock; where; and which request, so that it can be followed into the log.
  expect(entry.at.getTime()).toBe(Math.floor(clock.nowMs()))
  expect(entry.address).toBe('127.0.0.1')
  expect(entry.user_agent).toBe(userAgent)
  expect(entry.request_id).toBe(answer.headers.get('x-request-id'))
  return { answer, entry }
}

const headers = { 'user-agent': userAgent }

const post = (path: string, options: object = {}) =>
  cardea.client.post(path, { headers, ...options })

const logIn = ({ email }: Pick<TestAccount, 'email'>, password = testPassword) =>
  post('/login', { body: { email, password } })

const refresh = (handle: string) =>
  post('/refresh', { headers: { ...headers, cookie: `__Host-cardea-refresh=${handle}` } })

test('R112: a login that worked, with its factor', async () => {
  const account = await cardea.createAccount()
  const { entry, answer } = await entryOf(() => logIn(account))
  expect(answer.status).toBe(200)
  expect(entry).toMatchObject({
    event: 'login_succeeded',
    outcome: 'success',
    reason: null,
    actor: `account:${account.id}`,
    account: account.id,
    details: { factor: 'password', knownDevice: false },
  })
  // The session as a keyed hash: the entry can be matched to a session somebody names, and names none.
  expect(entry.session_reference).toMatch(/^[\w-]{22}$/)
  expect(entry.session_reference).not.toBe(answer.body.session_id)
})

test('R112: a login that failed, with the reason that the caller is not told', async () => {
  const account = await cardea.createAccount()
  const { entry } = await entryOf(() => logIn(account, 'not the password of anybody'))
  expect(entry).toMatchObject({
    event: 'login_failed',
    outcome: 'failure',
    reason: 'wrong_password',
    actor: 'anonymous',
    account: null,
  })
  const again = await entryOf(() =>
    logIn({ email: account.email.toUpperCase() }, 'wrong once more'),
  )
  expect(again.entry.identifier_reference).toBe(entry.identifier_reference)
})

test('R112: the first refusal by a limit, and not each one of a flood', async () => {
  const account = await cardea.createAccount()
  for (let turn = 0; turn < 4; turn += 1) await logIn(account, 'not the password of anybody')
  const { entry } = await entryOf(() => logIn(account))
  expect(entry).toMatchObject({ event: 'login_limited', outcome: 'failure', reason: 'account' })
  for (let turn = 0; turn < 5; turn += 1) expect((await logIn(account)).status).toBe(429)
  expect(await trail()).toEqual([])
})

test('R112: a refresh is one line of the log, with the session as the same keyed hash, and no entry', async () => {
  const account = await cardea.createAccount()
  const { answer, entry } = await entryOf(() => logIn(account))
  const before = cardea.log.length
  const refreshed = await refresh(answer.refreshCookie ?? '')
  expect(refreshed.status).toBe(200)
  expect(await trail()).toEqual([])
  const lines = cardea.log.slice(before).map((line) => JSON.parse(line))
  expect(lines).toMatchObject([
    {
      event: 'token_refreshed',
      session: entry.session_reference,
      request_id: refreshed.headers.get('x-request-id'),
    },
  ])
})

test('R112: the reuse of a refresh token', async () => {
  const account = await cardea.createAccount()
  const first = await logIn(account)
  const second = await refresh(first.refreshCookie ?? '')
  await refresh(second.refreshCookie ?? '')
  const { entry, answer } = await entryOf(() => refresh(first.refreshCookie ?? ''))
  expect(answer.status).toBe(401)
  expect(entry).toMatchObject({
    event: 'token_reuse',
    outcome: 'failure',
    reason: 'token_reuse',
    actor: 'system',
    account: account.id,
  })
})

test('R112: a refresh whose response was lost', async () => {
  const account = await cardea.createAccount()
  const first = await logIn(account)
  await refresh(first.refreshCookie ?? '')
  clock.advance(10_000)
  const { entry, answer } = await entryOf(() => refresh(first.refreshCookie ?? ''))
  expect(answer.status).toBe(200)
  expect(entry).toMatchObject({
    event: 'refresh_response_lost',
    outcome: 'success',
    reason: null,
    actor: 'system',
    account: account.id,
  })
})

test('R112: a logout, the end of one session, and of all', async () => {
  const account = await cardea.createAccount()
  const by = async () => (await logIn(account)).body
  const actor = `account:${account.id}`
  const first = await by()
  const logout = await entryOf(() => post('/logout', { token: first.access_token }))
  expect(logout.entry).toMatchObject({
    event: 'logout',
    outcome: 'success',
    reason: 'logout',
    actor,
  })
  const second = await by()
  const ended = await entryOf(() =>
    cardea.client.send('DELETE', `/sessions/${second.session_id}`, {
      headers,
      token: second.access_token,
    }),
  )
  expect(ended.entry).toMatchObject({ event: 'session_ended', reason: 'revoked', actor })
  const third = await by()
  const all = await entryOf(() =>
    cardea.client.send('DELETE', '/sessions', { headers, token: third.access_token }),
  )
  expect(all.entry).toMatchObject({ event: 'session_ended', reason: 'revoked', actor })
  const references = [logout, ended, all].map(({ entry }) => entry.session_reference)
  expect(new Set(references).size).toBe(3)
})

test('R112: an account that an operator added', async () => {
  const { entry, answer } = await entryOf(() =>
    post('/admin/accounts', {
      token,
      body: { email: 'added@example.com', password: testPassword, roles: ['reader'] },
    }),
  )
  expect(entry).toMatchObject({
    event: 'account_created',
    outcome: 'success',
    account: answer.body.id,
    actor: expect.stringMatching(/^account:[\w-]{22}$/),
    details: { roles: ['reader'] },
  })
  expect(isId(entry.actor.replace('account:', ''))).toBe(true)
})

test('an act that was refused leaves no entry of having happened', async () => {
  const account = await cardea.createAccount()
  await trail()
  await post('/admin/accounts', { token, body: { email: account.email, password: testPassword } })
  await post('/admin/accounts', { token, body: { email: 'b@example.com', password: 'short' } })
  await post('/logout')
  await refresh('made-up')
  expect(await trail()).toEqual([])
})
