import { afterAll, beforeAll, expect, test } from 'vitest'
import { auditEntries } from '../support/audit-entries.ts'
import { type Cardea, startCardea, testPassword } from '../support/cardea.ts'
import { type FakeClock, fakeClock } from '../support/fake-clock.ts'
import { handleFields } from '../support/handles.ts'
import { holdSessions } from '../support/hold-rows.ts'

let clock: FakeClock
let cardea: Cardea
let trail: ReturnType<typeof auditEntries>

beforeAll(async () => {
  clock = fakeClock()
  cardea = await startCardea({ clock, instances: 2 })
  trail = auditEntries(cardea.stores.migrateUrl)
})
afterAll(() => cardea.stop())

const signIn = async () => {
  const account = await cardea.createAccount()
  return { account, session: await cardea.client.logInForCookie(account) }
}

const prove = (session: string, password: string, instance = 0) =>
  cardea.clientOf(instance).post('/session/reauthenticate', { session, body: { password } })

const read = (session: string, instance = 0) =>
  cardea.clientOf(instance).get('/session', { session })

test('R52: a step-up renews auth_time under a new handle, and the old one is dead at once on every instance', async () => {
  const { account, session } = await signIn()
  const before = await read(session)
  await read(session, 1)
  clock.advance(30_000)
  await trail()
  const answer = await prove(session, testPassword)
  expect(answer.status).toBe(200)
  expect(Object.keys(answer.body).sort()).toEqual(['expires_in', 'session_id'])
  const next = answer.sessionCookie ?? ''
  expect(handleFields(next)).toMatchObject({
    sessionId: handleFields(session).sessionId,
    generation: 1,
  })
  for (const instance of [0, 1]) {
    expect((await read(session, instance)).status).toBe(401)
    const after = await read(next, instance)
    expect(after.body.session).toMatchObject({
      id: before.body.session.id,
      created_at: before.body.session.created_at,
      auth_time: new Date(clock.nowMs()).toISOString(),
      absolute_expires_at: before.body.session.absolute_expires_at,
    })
  }
  expect(await trail()).toMatchObject([
    {
      event: 'session_reauthenticated',
      outcome: 'success',
      account: account.id,
      actor: `account:${account.id}`,
      details: { factor: 'password', knownDevice: false },
    },
  ])
})

test('a wrong password is refused as at a log-in, recorded, and harms no session', async () => {
  const { account, session } = await signIn()
  await trail()
  const answer = await prove(session, 'another password than that')
  expect(answer).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
  expect(answer.headers.getSetCookie()).toEqual([])
  expect(await trail()).toMatchObject([{ event: 'login_failed', reason: 'wrong_password' }])
  expect((await read(session)).status).toBe(200)
  expect((await prove(session, account.password)).status).toBe(200)
})

test('guesses at a step-up and at a log-in count together', async () => {
  const { account, session } = await signIn()
  const guess = () => prove(session, 'a guess that is long enough')
  const statuses = []
  for (let round = 0; round < 4; round += 1) statuses.push((await guess()).status)
  expect(statuses).toEqual([401, 401, 401, 401])
  const limited = await guess()
  expect(limited).toMatchObject({ status: 429, body: { code: 'too_many_attempts' } })
  expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0)
  const { email, password } = account
  expect((await cardea.client.post('/login', { body: { email, password } })).status).toBe(429)
  expect((await read(session)).status).toBe(200)
})

test('R52: of step-ups at once over two instances one renews the session, and only its handle opens it', async () => {
  const { session } = await signIn()
  const answers = await Promise.all(
    [0, 1, 0, 1].map((instance) => prove(session, testPassword, instance)),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401])
  for (const { status, body, headers } of answers) {
    if (status === 401) {
      expect(body.code).toBe('invalid_session')
      expect(headers.getSetCookie()).toEqual([])
    }
  }
  const next = answers.find(({ status }) => status === 200)?.sessionCookie ?? ''
  for (const instance of [0, 1]) {
    expect((await read(next, instance)).status).toBe(200)
    expect((await read(session, instance)).status).toBe(401)
  }
})

test('R112: a right password for a session that has ended meanwhile is recorded, with a reason of its own', async () => {
  const { account, session } = await signIn()
  await trail()
  const held = await holdSessions(cardea.stores.migrateUrl)
  // Both have found the session alive; the first to wait for the row is the first to change it.
  const loggingOut = cardea.client.post('/logout', { session })
  await held.whenWaiting(1)
  const proving = prove(session, testPassword)
  await held.whenWaiting(2)
  await held.release()
  expect((await loggingOut).status).toBe(204)
  const answer = await proving
  expect(answer).toMatchObject({ status: 401, body: { code: 'invalid_session' } })
  expect(answer.headers.getSetCookie()).toEqual([])
  const actor = `account:${account.id}`
  expect(await trail()).toMatchObject([
    { event: 'logout', account: account.id },
    { event: 'login_failed', outcome: 'failure', reason: 'invalid_session', actor },
  ])
})

test('look-ups that race with a step-up never open the session by its old handle once it was answered', async () => {
  const { session } = await signIn()
  let isRenewed = false
  const lateStatuses: number[] = []
  const keepLooking = async (instance: number) => {
    for (let afterwards = 0; afterwards < 5; ) {
      const late = isRenewed
      const { status } = await read(session, instance)
      if (!late) continue
      lateStatuses.push(status)
      afterwards += 1
    }
  }
  const looking = [0, 1, 0, 1].map(keepLooking)
  expect((await prove(session, testPassword)).status).toBe(200)
  isRenewed = true
  await Promise.all(looking)
  expect(new Set(lateStatuses)).toEqual(new Set([401]))
})

test.each([
  [{}, 400],
  [{ password: '' }, 400],
  [{ password: 7 }, 400],
  [{ password: testPassword, email: 'other@example.com' }, 400],
  ['not json', 400],
])('the body %j is refused with %i', async (body, status) => {
  const { session } = await signIn()
  const answer = await cardea.client.post('/session/reauthenticate', { session, body })
  expect(answer.status).toBe(status)
})

test('R62: only the cookie of the session opens a step-up, and no foreign page', async () => {
  const { account, session } = await signIn()
  const { accessToken } = await cardea.client.logIn(account)
  const body = { password: testPassword }
  const byToken = await cardea.client.post('/session/reauthenticate', { token: accessToken, body })
  expect(byToken).toMatchObject({ status: 401, body: { code: 'missing_session' } })
  const headers = { 'sec-fetch-site': 'cross-site' }
  const foreign = await cardea.client.post('/session/reauthenticate', { session, body, headers })
  expect(foreign.status).toBe(403)
  expect((await read(session)).status).toBe(200)
})

test('a disabled account cannot step up, although its password is right', async () => {
  const { account, session } = await signIn()
  const token = await cardea.operatorToken()
  const path = `/admin/accounts/${account.id}`
  await cardea.client.send('PATCH', path, { token, body: { status: 'disabled' } })
  expect(await prove(session, testPassword)).toMatchObject({
    status: 401,
    body: { code: 'invalid_session' },
  })
})
