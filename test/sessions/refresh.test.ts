import { afterAll, describe, expect, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { handleFields } from '../support/service/handles.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'

const secret = 'a secret of these tests that is long enough'
const dayMs = 24 * 3600 * 1000

const clock = fakeClock()
const cardea = await startCardea({ clock, secrets: [secret] })
const asOwner = sqlAs(cardea.stores.migrateUrl)
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())

type Delivery = 'cookie' | 'body'

/** One device: how it presents a handle, and where it finds the next one. */
const device = (delivery: Delivery) => ({
  logIn: async () => {
    const account = await cardea.createAccount()
    return { account, ...(await cardea.client.logIn(account, { delivery })) }
  },
  present: (handle: string) =>
    delivery === 'cookie' ? cardea.client.refresh(handle) : cardea.client.refreshByBody(handle),
  handleIn: (answer: Answer): string =>
    (delivery === 'cookie' ? answer.refreshCookie : answer.body.refresh_token) ?? '',
  /** What an answer says of the cookie: nothing at all to a device that has none. */
  cleared: delivery === 'cookie' ? '' : undefined,
})

const idOf = (handle: string): Buffer => Buffer.from(handleFields(handle).sessionId, 'base64url')

type SessionRow = { readonly generation: number; readonly end_reason: string | null }

const rowOf = async (handle: string) => {
  const query = 'SELECT * FROM sessions WHERE id = $1'
  const [row] = await asOwner<SessionRow>(query, [idOf(handle)])
  return row
}

const revocationsOf = async (handle: string) =>
  asOwner('SELECT kind, reason FROM revocations WHERE key = $1', [handleFields(handle).sessionId])

const statusOfToken = async (token: string) =>
  (await cardea.client.get('/account', { token })).status

describe.each(['cookie', 'body'] as const)('a handle that travels in the %s', (delivery) => {
  const { logIn, present, handleIn, cleared } = device(delivery)

  const expectSignedOut = (answer: Answer, reason: string, cleared: string | undefined) => {
    expect(answer.status).toBe(401)
    expect(answer.body).toMatchObject({ code: 'session_ended', reason })
    expect(answer.body).not.toHaveProperty('access_token')
    expect(answer.refreshCookie).toBe(cleared)
  }

  test('R38, R50: a refresh consumes its token and sets a new one, of the next generation', async () => {
    const { refreshToken } = await logIn()
    const answer = await present(refreshToken)
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({ token_type: 'Bearer', expires_in: 900 })
    expect(handleIn(answer)).toMatch(/^[\w-]{115}$/)
    expect(handleFields(handleIn(answer)).generation).toBe(1)
    expect(await rowOf(refreshToken)).toMatchObject({ generation: 1, end_reason: null })
    const members = ['access_token', 'token_type', 'expires_in', 'session_id']
    const expected = delivery === 'body' ? [...members, 'refresh_token'] : members
    expect(Object.keys(answer.body).sort()).toEqual([...expected].sort())
    // The cookie is for this host only, secure, out of reach of scripts and of other sites.
    const cookie =
      /^__Host-cardea-refresh=[\w-]{115}; Max-Age=1209600; Path=\/; HttpOnly; Secure; SameSite=Strict$/
    const expectedCookies = delivery === 'cookie' ? [expect.stringMatching(cookie)] : []
    expect(answer.headers.getSetCookie()).toEqual(expectedCookies)
  })

  test('R42: the direct predecessor gets the same successor again within the grace, however often, each time with a new access token', async () => {
    const { refreshToken } = await logIn()
    const first = await present(refreshToken)
    const tokens = new Set([first.body.access_token])
    for (let again = 1; again <= 5; again += 1) {
      const answer = await present(refreshToken)
      expect(answer.status).toBe(200)
      expect(handleIn(answer)).toBe(handleIn(first))
      expect(await statusOfToken(answer.body.access_token)).toBe(200)
      tokens.add(answer.body.access_token)
    }
    expect(tokens.size).toBe(6)
    clock.advance(9_999)
    expect(handleIn(await present(refreshToken))).toBe(handleIn(first))
    expect(await rowOf(refreshToken)).toMatchObject({ generation: 1 })
    expect((await present(handleIn(first))).status).toBe(200)
  })

  test('R41, R42: the predecessor after its successor was used is theft, also within the grace', async () => {
    const { refreshToken } = await logIn()
    const second = handleIn(await present(refreshToken))
    const third = handleIn(await present(second))
    expectSignedOut(await present(refreshToken), 'token_reuse', cleared)
    expect((await present(third)).body.reason).toBe('token_reuse')
    expect(await revocationsOf(refreshToken)).toHaveLength(1)
  })

  test('R38: every older generation is recognised to the end', async () => {
    const { refreshToken } = await logIn()
    let handle = refreshToken
    for (let day = 0; day < 29; day += 1) {
      handle = handleIn(await present(handle))
      clock.advance(dayMs)
    }
    expect(handleFields(handle).generation).toBe(29)
    expectSignedOut(await present(refreshToken), 'token_reuse', cleared)
    expect(await rowOf(refreshToken)).toMatchObject({ generation: 29, end_reason: 'token_reuse' })
  })

  test.each([1, 2, 3])(
    'R46: a fail-over that lost %i commits signs nobody out: the later handle is taken, and the session goes on after it',
    async (lost) => {
      const { refreshToken } = await logIn()
      let handle = refreshToken
      for (let turn = 0; turn < 3; turn += 1) handle = handleIn(await present(handle))
      const set = 'UPDATE sessions SET generation = generation - $2::integer WHERE id = $1'
      await asOwner(set, [idOf(handle), lost])
      await trail()
      const answers = await Promise.all(Array.from({ length: 10 }, () => present(handle)))
      const successors = new Set(answers.map(handleIn))
      expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(200))
      expect(successors.size).toBe(1)
      const [next = ''] = successors
      expect(handleFields(next).generation).toBe(4)
      expect(await rowOf(handle)).toMatchObject({ generation: 4, end_reason: null })
      expect(await trail()).toMatchObject([
        { event: 'generation_recovered', outcome: 'success', actor: 'system' },
      ])
      expect((await present(next)).status).toBe(200)
    },
  )

  test('R44: a session that has ended is refused with its reason; only the newest handle clears the cookie', async () => {
    const { refreshToken, accessToken } = await logIn()
    const newest = handleIn(await present(refreshToken))
    await cardea.client.post('/logout', { token: accessToken })
    expectSignedOut(await present(refreshToken), 'logout', undefined)
    expectSignedOut(await present(newest), 'logout', cleared)
    expect(await rowOf(newest)).toMatchObject({ generation: 1, end_reason: 'logout' })
  })

  test('R47, R54: a session that nobody used for 14 days is over', async () => {
    const { refreshToken } = await logIn()
    clock.advance(14 * dayMs - 1)
    const newest = handleIn(await present(refreshToken))
    expect(newest).not.toBe('')
    clock.advance(14 * dayMs)
    expectSignedOut(await present(refreshToken), 'idle_expired', undefined)
    expectSignedOut(await present(newest), 'idle_expired', cleared)
    expect(await rowOf(newest)).toMatchObject({ generation: 1 })
  })

  test('R47, R54: 30 days after the login a session is over, however often it was refreshed', async () => {
    const { refreshToken } = await logIn()
    let handle = refreshToken
    for (const days of [10, 10, 9]) {
      clock.advance(days * dayMs)
      handle = handleIn(await present(handle))
    }
    clock.advance(dayMs - 1)
    const last = await present(handle)
    expect(last.status).toBe(200)
    clock.advance(1)
    expectSignedOut(await present(handleIn(last)), 'absolute_expired', cleared)
  })

  test('R45: an account disabled through the API ends its sessions at once', async () => {
    const { account, refreshToken, accessToken } = await logIn()
    const answer = await cardea.client.send('PATCH', `/admin/accounts/${account.id}`, {
      token: await cardea.operatorToken(),
      body: { status: 'disabled' },
    })
    expect(answer.status).toBe(200)
    expectSignedOut(await present(refreshToken), 'account_disabled', cleared)
    expect(await statusOfToken(accessToken)).toBe(401)
  })

  test('R45: an account disabled by bare SQL ends the session at its next refresh, and its sid is revoked', async () => {
    const { account, refreshToken } = await logIn()
    const newest = await present(refreshToken)
    const id = Buffer.from(account.id, 'base64url')
    await asOwner("UPDATE accounts SET status = 'disabled' WHERE id = $1", [id])
    await trail()
    expectSignedOut(await present(handleIn(newest)), 'account_disabled', cleared)
    expect(await trail()).toMatchObject([
      { event: 'session_ended', reason: 'account_disabled', account: account.id },
    ])
    expect(await rowOf(refreshToken)).toMatchObject({ end_reason: 'account_disabled' })
    expect(await revocationsOf(refreshToken)).toEqual([{ kind: 'sid', reason: 'account_disabled' }])
    // The session stays dead when the account comes back: its owner logs in anew.
    await asOwner("UPDATE accounts SET status = 'active' WHERE id = $1", [id])
    expectSignedOut(await present(handleIn(newest)), 'account_disabled', cleared)
    expect(await statusOfToken(newest.body.access_token)).toBe(401)
  })

  test('an account whose epoch has risen since the login has no session left', async () => {
    const { account, refreshToken } = await logIn()
    const id = Buffer.from(account.id, 'base64url')
    await asOwner('UPDATE accounts SET epoch = epoch + 1 WHERE id = $1', [id])
    expectSignedOut(await present(refreshToken), 'revoked', cleared)
    expect(await rowOf(refreshToken)).toMatchObject({ generation: 0 })
  })

  test('R49: a handle is refused the other way round, in a header and in a query, and nothing comes of it', async () => {
    const { refreshToken } = await logIn()
    const before = await rowOf(refreshToken)
    const { client } = cardea
    const wrongPlace =
      delivery === 'cookie'
        ? await client.refreshByBody(refreshToken)
        : await client.refresh(refreshToken)
    expect(wrongPlace.status).toBe(401)
    expect(wrongPlace.body.code).toBe('invalid_refresh_token')
    const query = await client.post(`/refresh?refresh_token=${refreshToken}`)
    const header = await client.post('/refresh', { token: refreshToken })
    const named = await client.post('/refresh', { headers: { 'refresh-token': refreshToken } })
    for (const answer of [wrongPlace, query, header, named]) {
      expect(answer.status).toBe(401)
      expect(answer.headers.getSetCookie()).toEqual([])
    }
    expect(query.body.code).toBe('missing_refresh_token')
    expect(await rowOf(refreshToken)).toEqual(before)
    expect((await present(refreshToken)).status).toBe(200)
  })

  test('R48: a refresh keeps who, which session, when and how they logged in, and for whom', async () => {
    const { accessToken, refreshToken } = await logIn()
    const before = await verifiedClaims(cardea, accessToken, { clock })
    clock.advance(600_000)
    const after = await verifiedClaims(cardea, (await present(refreshToken)).body.access_token, {
      clock,
    })
    const same = 'iss sub aud client_id sid auth_time amr acr aep scope roles'.split(' ')
    for (const name of same) expect(after[name], name).toEqual(before[name])
    expect(after.iat).toBe((before.iat ?? 0) + 600)
    expect(after.jti).not.toBe(before.jti)
  })
})

test('a global epoch that has risen leaves no session, and the reason is "revoked"', async () => {
  const { refreshToken, accessToken } = await cardea.client.logIn(await cardea.createAccount())
  const token = await cardea.operatorToken()
  const revoked = await cardea.client.post('/admin/revoke', { token, body: { everyone: true } })
  expect(revoked.status).toBe(200)
  const answer = await cardea.client.refresh(refreshToken)
  expect(answer.body).toMatchObject({ code: 'session_ended', reason: 'revoked' })
  expect(answer.refreshCookie).toBe('')
  expect(await statusOfToken(accessToken)).toBe(401)
})

test('R47: the cookie lives as long as the session may stay unused, and never past its absolute end', async () => {
  const maxAge = (answer: Answer) =>
    /Max-Age=(\d+)/.exec(answer.headers.getSetCookie()[0] ?? '')?.[1]
  const loggedIn = await cardea.client.logIn(await cardea.createAccount())
  expect(maxAge(loggedIn)).toBe(String(14 * 86_400))
  let handle = loggedIn.refreshToken
  for (const [days, left] of [
    [10, 14],
    [10, 10],
    [9, 1],
  ] as const) {
    clock.advance(days * dayMs)
    const answer = await cardea.client.refresh(handle)
    expect(maxAge(answer)).toBe(String(left * 86_400))
    handle = answer.refreshCookie ?? ''
  }
})

test('R48: a refresh follows the roles of the account and never widens the scope', async () => {
  const { client } = cardea
  const token = await cardea.operatorToken()
  const setRoles = (id: string, roles: readonly string[]) =>
    client.send('PATCH', `/admin/accounts/${id}`, { token, body: { roles } })
  const claimsAfter = async (handle: string) => {
    const answer = await client.refresh(handle)
    return verifiedClaims(cardea, answer.body.access_token, { clock })
  }
  const person = await cardea.createAccount()
  const asPerson = await client.logIn(person)
  await setRoles(person.id, ['operator'])
  expect(await claimsAfter(asPerson.refreshToken)).toMatchObject({
    scope: 'account',
    roles: ['operator'],
  })

  const operator = await cardea.createAccount(['operator'])
  const asOperator = await client.logIn(operator)
  expect(await verifiedClaims(cardea, asOperator.accessToken, { clock })).toMatchObject({
    scope: 'account admin',
  })
  await setRoles(operator.id, [])
  expect(await claimsAfter(asOperator.refreshToken)).toMatchObject({ scope: 'account', roles: [] })
})

test('R49: two refresh cookies, or one in the cookie and one in the body, are refused and consume nothing', async () => {
  const { refreshToken } = await cardea.client.logIn(await cardea.createAccount())
  const name = '__Host-cardea-refresh'
  const before = await rowOf(refreshToken)
  const twice = await cardea.client.post('/refresh', {
    headers: { cookie: `${name}=${refreshToken}; ${name}=${refreshToken}` },
  })
  expect(twice).toMatchObject({ status: 400, body: { code: 'duplicate_cookie' } })
  const both = await cardea.client.post('/refresh', {
    handle: refreshToken,
    body: { refresh_token: refreshToken },
  })
  expect(both).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
  for (const answer of [twice, both]) expect(answer.headers.getSetCookie()).toEqual([])
  expect(await rowOf(refreshToken)).toEqual(before)
})

test('R57: a cookie whose name differs in case only is another cookie', async () => {
  const { refreshToken } = await cardea.client.logIn(await cardea.createAccount())
  const other = `__host-cardea-refresh=${refreshToken}`
  const alone = await cardea.client.post('/refresh', { headers: { cookie: other } })
  expect(alone).toMatchObject({ status: 401, body: { code: 'missing_refresh_token' } })
  const beside = await cardea.client.post('/refresh', {
    headers: { cookie: `__HOST-CARDEA-REFRESH=x; __Host-cardea-refresh=${refreshToken}; ${other}` },
  })
  expect(beside.status).toBe(200)
})

test('R49, R67: GET and HEAD of /refresh are 405 and change nothing', async () => {
  const { refreshToken } = await cardea.client.logIn(await cardea.createAccount())
  const before = await rowOf(refreshToken)
  for (const method of ['GET', 'HEAD']) {
    const answer = await cardea.client.send(method, '/refresh', { handle: refreshToken })
    expect(answer.status).toBe(405)
    expect(answer.headers.get('allow')).toBe('POST')
    expect(answer.headers.getSetCookie()).toEqual([])
  }
  expect(await rowOf(refreshToken)).toEqual(before)
})
