import { afterEach, expect, test } from 'vitest'
import { sqlAs } from '../support/servers/sql.ts'
import {
  type Cardea,
  startCardea,
  type TestAccount,
  testPassword,
} from '../support/service/cardea.ts'
import { newServiceClient, postForm } from '../support/service/service-client.ts'

/** Acts of one account; a session may do a quarter. */
const acts = 12
const ofSession = 3

let cardea: Cardea

afterEach(() => cardea.stop())

const start = async (more: Parameters<typeof startCardea>[0] = {}): Promise<TestAccount> => {
  cardea = await startCardea({ ...more, config: { loggedActsPerAccount: acts, ...more.config } })
  return cardea.createAccount()
}

const count = async (table: 'audit_events' | 'revocations', condition = 'true') => {
  const text = `SELECT count(*) AS count FROM ${table} WHERE ${condition}`
  const [row] = await sqlAs(cardea.stores.migrateUrl)<{ count: string }>(text)
  return Number(row?.count)
}

const revoke = (token: string, authorization?: string) =>
  postForm(cardea.client, '/oauth/revoke', authorization, { token })

/** Refreshes and revokes the new access token, again and again. */
const wearOut = async (refreshToken: string, times: number): Promise<number[]> => {
  let handle = refreshToken
  const statuses: number[] = []
  for (let turn = 0; turn < times; turn += 1) {
    const refreshed = await cardea.client.refresh(handle)
    handle = refreshed.refreshCookie ?? ''
    const answer = await revoke(refreshed.body.access_token)
    if (answer.status === 429) expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(1)
    statuses.push(answer.status)
  }
  return statuses
}

const times = (status: number, length: number) => Array.from({ length }, () => status)

test.each([
  ['in Redis', undefined],
  ['in this process', null],
] as const)(
  'R110: a session that refreshes and revokes 40 times leaves as many entries as it may, counted %s',
  async (_where, redisUrl) => {
    const account = await start(redisUrl === null ? { redisUrl } : {})
    const { refreshToken } = await cardea.client.logIn(account)
    const statuses = await wearOut(refreshToken, 40)
    expect(statuses).toEqual([...times(200, ofSession), ...times(429, 40 - ofSession)])
    expect(await count('audit_events', "event = 'token_revoked'")).toBe(ofSession)
    expect(await count('revocations', "kind = 'jti'")).toBe(ofSession)
  },
)

test('the sessions of an account share its budget, logging in too, and what a session may not do costs its account nothing', async () => {
  const account = await start()
  let logins = 0
  let revoked = 0
  for (;;) {
    const body = { email: account.email, password: testPassword }
    const answer = await cardea.client.post('/login', { body })
    if (answer.status === 429) {
      expect(answer.body.code).toBe('too_many_acts')
      break
    }
    logins += 1
    const statuses = await wearOut(answer.refreshCookie ?? '', 5)
    revoked += statuses.filter((status) => status === 200).length
  }
  expect(logins + revoked).toBe(acts)
  expect(logins).toBe(3)
  const written = "event IN ('login_succeeded', 'token_revoked')"
  expect(await count('audit_events', written)).toBe(acts)
  // Nor does a refusal leave an entry.
  expect(await count('audit_events', "event LIKE 'login_%' AND outcome = 'failure'")).toBe(0)
})

test('a service client that revokes the tokens it is granted has one budget', async () => {
  await start()
  const { issuer } = cardea.config
  const { authorization } = await newServiceClient(cardea, undefined, { audiences: [issuer] })
  const statuses: number[] = []
  for (let turn = 0; turn < acts + 5; turn += 1) {
    const form = { grant_type: 'client_credentials' }
    const granted = await postForm(cardea.client, '/oauth/token', authorization, form)
    statuses.push((await revoke(granted.body.access_token, authorization)).status)
  }
  expect(statuses).toEqual([...times(200, acts), ...times(429, 5)])
  expect(await count('revocations', "kind = 'jti'")).toBe(acts)
})

test('a session that proves again and again who it belongs to has the budget of a session', async () => {
  const account = await start()
  let session = await cardea.client.logInForCookie(account)
  const statuses: number[] = []
  for (let turn = 0; turn < 6; turn += 1) {
    const body = { password: testPassword }
    const answer = await cardea.client.post('/session/reauthenticate', { session, body })
    session = answer.sessionCookie ?? session
    statuses.push(answer.status)
  }
  expect(statuses).toEqual([...times(200, ofSession), ...times(429, 6 - ofSession)])
  expect(await count('audit_events', "event = 'session_reauthenticated'")).toBe(ofSession)
  expect((await cardea.client.get('/session', { session })).status).toBe(200)
})

test('what is revoked already writes nothing and costs nothing, and nobody is kept from logging out', async () => {
  const account = await start()
  const first = await cardea.client.logIn(account)
  const other = await cardea.client.logIn(account)
  for (let turn = 0; turn < 10; turn += 1) {
    expect((await revoke(first.accessToken)).status).toBe(200)
  }
  expect(await count('revocations')).toBe(1)
  expect(await count('audit_events', "event = 'token_revoked'")).toBe(1)
  expect(await wearOut(first.refreshToken, 3)).toEqual([...times(200, ofSession - 1), 429])
  for (let turn = 0; turn < 10; turn += 1) {
    const options = { handle: other.refreshToken }
    expect((await cardea.client.post('/logout', options)).status).toBe(204)
  }
  expect(await count('audit_events', "event = 'logout'")).toBe(1)
  expect(await count('revocations', "kind = 'sid'")).toBe(1)
})

test('R106: more right passwords at once from one office than may fail are all served, and use up no failures', async () => {
  await start({ config: { loginFailuresPerSource: 10, hashQueue: 100 }, redisUrl: null })
  const accounts = await Promise.all(Array.from({ length: 14 }, () => cardea.createAccount()))
  let waiting: readonly TestAccount[] = accounts
  // As clients do that heed Retry-After; it is a second, never the ten minutes of a spent limit.
  while (waiting.length > 0) {
    const answers = await Promise.all(
      waiting.map(({ email, password }) =>
        cardea.client.post('/login', { body: { email, password } }),
      ),
    )
    const refused = answers.filter(({ status }) => status !== 200)
    expect(refused.map(({ headers }) => headers.get('retry-after'))).toEqual(refused.map(() => '1'))
    expect(refused.length).toBeLessThan(waiting.length)
    waiting = waiting.filter((_, place) => answers[place]?.status !== 200)
  }
  expect(await count('audit_events', "event = 'login_limited'")).toBe(0)
  const wrong = (place: number) =>
    cardea.client.post('/login', {
      body: { email: `nobody-${place}@example.com`, password: 'a wrong password 123' },
    })
  const guesses = await Promise.all(Array.from({ length: 60 }, (_, place) => wrong(place)))
  const judged = guesses.filter(({ status }) => status === 401).length
  expect(judged).toBeGreaterThanOrEqual(10)
  expect(judged).toBeLessThanOrEqual(20)
  expect((await wrong(999)).headers.get('retry-after')).toMatch(/^\d{3}$/)
})
