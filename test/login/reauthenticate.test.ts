import { afterAll, expect, test } from 'vitest'
import { keyLabels } from '../../src/keys/index.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { holdSessions } from '../support/servers/hold-rows.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea, testPassword } from '../support/service/cardea.ts'
import { codecOf, handleFields } from '../support/service/handles.ts'

const clock = fakeClock()
const cardea = await startCardea({ clock, instances: 2 })
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())

const logIn = async () => {
  const account = await cardea.createAccount()
  return { account, session: await cardea.client.logInForCookie(account) }
}

const prove = (session: string, password: string, instance = 0) =>
  cardea.clientOf(instance).post('/session/reauthenticate', { session, body: { password } })

const read = (session: string, instance = 0) =>
  cardea.clientOf(instance).get('/session', { session })

test('R52: a step-up renews auth_time under a new handle; the old one keeps its own auth_time, and is dead everywhere once the new one is used', async () => {
  const { account, session } = await logIn()
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
  for (const instance of [0, 1, 0, 1]) {
    const old = await read(session, instance)
    expect(old.status).toBe(200)
    expect(old.body.session.auth_time).toBe(before.body.session.auth_time)
  }
  for (const instance of [0, 1]) {
    const after = await read(next, instance)
    expect(after.body.session).toMatchObject({
      id: before.body.session.id,
      created_at: before.body.session.created_at,
      auth_time: new Date(clock.nowMs()).toISOString(),
      absolute_expires_at: before.body.session.absolute_expires_at,
    })
    expect((await read(session, instance)).status).toBe(401)
  }
  expect((await read(session)).status).toBe(401)
  expect(await trail()).toMatchObject([
    {
      event: 'session_reauthenticated',
      outcome: 'success',
      account: account.id,
      actor: `account:${account.id}`,
      details: { factor: 'password', knownDevice: false, responseLost: false },
    },
  ])
})

test('I13: a step-up whose response was lost costs nothing, however often, and the next one gets a further handle', async () => {
  const { session } = await logIn()
  const { auth_time } = (await read(session)).body.session
  const put = { session, body: { cart: 3 }, headers: { 'if-match': '*' } }
  for (let lost = 1; lost <= 3; lost += 1) {
    clock.advance(10_000)
    const answer = await prove(session, testPassword, lost % 2)
    expect(handleFields(answer.sessionCookie ?? '').generation).toBe(lost)
    expect((await cardea.client.send('PUT', '/session/data', put)).status).toBe(204)
    const old = await read(session, lost % 2)
    expect(old.body).toMatchObject({ session: { auth_time }, data: { cart: 3 } })
  }
  await trail()
  clock.advance(9_999)
  const again = await prove(session, testPassword)
  expect(handleFields(again.sessionCookie ?? '').generation).toBe(3)
  expect(await trail()).toMatchObject([
    { event: 'session_reauthenticated', details: { responseLost: true } },
  ])
  const after = await read(again.sessionCookie ?? '', 1)
  expect(after.body).toMatchObject({
    session: { auth_time: new Date(clock.nowMs()).toISOString() },
    data: { cart: 3 },
  })
  for (const instance of [0, 1]) expect((await read(session, instance)).status).toBe(401)
})

test('I14: the handle of a step-up that was believed lost ends the session when it is presented after all', async () => {
  const { account, session } = await logIn()
  const orphan = (await prove(session, testPassword)).sessionCookie ?? ''
  clock.advance(10_000)
  const newest = (await prove(session, testPassword)).sessionCookie ?? ''
  await trail()
  const refused = { status: 401, body: { code: 'invalid_session', reason: 'token_reuse' } }
  expect(await read(orphan)).toMatchObject(refused)
  expect(await trail()).toMatchObject([{ event: 'token_reuse', account: account.id }])
  for (const handle of [newest, session]) expect(await read(handle, 1)).toMatchObject(refused)
})

test('R46: a step-up whose commit a fail-over lost is no end: its handle opens what is left of the session', async () => {
  const { account, session } = await logIn()
  const { auth_time } = (await read(session)).body.session
  const codec = codecOf(cardea.stores.secrets, keyLabels.sessionHandle)
  const newer = codec.write({ ...handleFields(session), generation: 2 })
  await trail()
  const looks = await Promise.all([0, 1, 0, 1].map((instance) => read(newer, instance)))
  for (const { status, body } of looks) {
    expect(status).toBe(200)
    expect(body.session.auth_time).toBe(auth_time)
  }
  expect(await trail()).toMatchObject([{ event: 'generation_recovered', account: account.id }])
  for (const instance of [0, 1]) expect((await read(session, instance)).status).toBe(401)
  const renewed = (await prove(newer, testPassword)).sessionCookie ?? ''
  expect(handleFields(renewed).generation).toBe(3)
  expect((await read(renewed, 1)).status).toBe(200)
})

test('what another tab writes with the old handle is there after the first use of the new one', async () => {
  const { session } = await logIn()
  const next = (await prove(session, testPassword)).sessionCookie ?? ''
  const held = await holdSessions(cardea.stores.migrateUrl)
  const headers = { 'if-match': '*' }
  const putting = cardea.client.send('PUT', '/session/data', {
    session,
    headers,
    body: { cart: 7 },
  })
  await held.whenWaiting(1)
  const reading = read(next)
  await held.whenWaiting(2)
  await held.release()
  expect((await putting).status).toBe(204)
  expect((await reading).status).toBe(200)
  for (const instance of [0, 1]) expect((await read(next, instance)).body.data).toEqual({ cart: 7 })
})

test('the first use of a new handle that waited behind a logout is refused', async () => {
  const { session } = await logIn()
  const next = (await prove(session, testPassword)).sessionCookie ?? ''
  const held = await holdSessions(cardea.stores.migrateUrl)
  const loggingOut = cardea.client.post('/logout', { session })
  await held.whenWaiting(1)
  const reading = read(next)
  await held.whenWaiting(2)
  await held.release()
  expect((await loggingOut).status).toBe(204)
  expect((await reading).status).toBe(401)
})

test('a handle from before a step-up that is presented later ends nothing: a request may have been under way', async () => {
  const { session } = await logIn()
  const next = (await prove(session, testPassword)).sessionCookie ?? ''
  expect((await read(next)).status).toBe(200)
  await trail()
  expect((await read(session)).status).toBe(401)
  expect(await trail()).toEqual([])
  expect((await read(next)).status).toBe(200)
})

test('a wrong password is refused as at a login, recorded, and harms no session', async () => {
  const { account, session } = await logIn()
  await trail()
  const answer = await prove(session, 'another password than that')
  expect(answer).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
  expect(answer.headers.getSetCookie()).toEqual([])
  expect(await trail()).toMatchObject([{ event: 'login_failed', reason: 'wrong_password' }])
  expect((await read(session)).status).toBe(200)
  expect((await prove(session, account.password)).status).toBe(200)
})

test('guesses at a step-up and at a login count together', async () => {
  const { account, session } = await logIn()
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

test('R52: step-ups at once over two instances get one handle, and only that opens the session once it was used', async () => {
  const { session } = await logIn()
  const answers = await Promise.all(
    [0, 1, 0, 1].map((instance) => prove(session, testPassword, instance)),
  )
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  expect(new Set(answers.map(({ sessionCookie }) => sessionCookie)).size).toBe(1)
  const next = answers[0]?.sessionCookie ?? ''
  const looks = await Promise.all([0, 1, 0, 1].map((instance) => read(next, instance)))
  expect(looks.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  for (const instance of [0, 1]) {
    expect((await read(next, instance)).status).toBe(200)
    expect((await read(session, instance)).status).toBe(401)
  }
})

test('R112: a right password for a session that has ended meanwhile is recorded, with a reason of its own', async () => {
  const { account, session } = await logIn()
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

test('look-ups that race with the first use of a new handle never open the session by the old one once that was answered', async () => {
  const { session } = await logIn()
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
  const renewed = await prove(session, testPassword)
  expect((await read(renewed.sessionCookie ?? '')).status).toBe(200)
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
  const { session } = await logIn()
  const answer = await cardea.client.post('/session/reauthenticate', { session, body })
  expect(answer.status).toBe(status)
})

test('R62: only the cookie of the session opens a step-up, and no foreign page', async () => {
  const { account, session } = await logIn()
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
  const { account, session } = await logIn()
  const token = await cardea.operatorToken()
  const path = `/admin/accounts/${account.id}`
  await cardea.client.send('PATCH', path, { token, body: { status: 'disabled' } })
  expect(await prove(session, testPassword)).toMatchObject({
    status: 401,
    body: { code: 'invalid_session' },
  })
})
