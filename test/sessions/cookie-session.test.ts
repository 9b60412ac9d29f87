import { afterAll, expect, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import { handleFields } from '../support/service/handles.ts'

const clock = fakeClock()
const cardea = await startCardea({ clock })
const asOwner = sqlAs(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())

const logIn = async (roles: readonly string[] = []) => {
  const account = await cardea.createAccount(roles)
  return { account, session: await cardea.client.logInForCookie(account) }
}

test('R50: logging in for a cookie session sets an opaque cookie with all attributes, and hands out no token', async () => {
  const account = await cardea.createAccount()
  const body = { email: account.email, password: account.password, session: 'cookie' }
  const answer = await cardea.client.post('/login', { body })
  expect(answer.status).toBe(200)
  expect(Object.keys(answer.body).sort()).toEqual(['expires_in', 'session_id'])
  expect(answer.body.expires_in).toBe(cardea.config.sessionIdleSeconds)
  const [line = '', device = '', ...rest] = answer.headers.getSetCookie()
  const maxAge = cardea.config.sessionAbsoluteSeconds
  expect(line).toMatch(
    new RegExp(
      `^__Host-cardea-session=[\\w-]{115}; Max-Age=${maxAge}; Path=/; HttpOnly; Secure; SameSite=Lax$`,
    ),
  )
  expect(device).toMatch(/^__Host-cardea-device=/)
  expect(rest).toEqual([])
  expect(handleFields(answer.sessionCookie ?? '').sessionId).toBe(answer.body.session_id)
})

test('GET /session shows account, session and an empty bag of data', async () => {
  const { account, session } = await logIn(['editor'])
  const answer = await cardea.client.get('/session', { session })
  expect(answer.status).toBe(200)
  const now = new Date(clock.nowMs()).toISOString()
  expect(answer.body).toEqual({
    account: { id: account.id, email: account.email, roles: ['editor'] },
    session: {
      id: handleFields(session).sessionId,
      created_at: now,
      auth_time: now,
      last_used_at: now,
      expires_at: new Date(clock.nowMs() + cardea.config.sessionIdleSeconds * 1000).toISOString(),
      absolute_expires_at: new Date(
        clock.nowMs() + cardea.config.sessionAbsoluteSeconds * 1000,
      ).toISOString(),
    },
    data: {},
  })
  expect(answer.headers.get('etag')).toBe('"0"')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.getSetCookie()).toEqual([])
})

test('the columns of a cookie session keep only the digest of its secret', async () => {
  const { session } = await logIn()
  const fields = handleFields(session)
  const [row] = await asOwner<{ kind: string; text: string }>(
    'SELECT kind, sessions::text AS text FROM sessions WHERE id = $1',
    [Buffer.from(fields.sessionId, 'base64url')],
  )
  expect(row?.kind).toBe('cookie')
  expect(row?.text).not.toContain(fields.secret.toString('hex'))
})

test('R51: a handle that the server never issued opens nothing, whatever is altered in it', async () => {
  const { session } = await logIn()
  const bytes = Buffer.from(session, 'base64url')
  const altered = [0, 1, 2, 17, 21, 22, 53, 54, 85].map((place) => {
    const copy = Buffer.from(bytes)
    copy.writeUInt8(copy.readUInt8(place) ^ 1, place)
    return copy.toString('base64url')
  })
  for (const handle of [...altered, `${session}A`, session.slice(1), 'fixed-by-someone', '']) {
    const answer = await cardea.client.get('/session', { session: handle })
    expect(answer.status, handle).toBe(401)
    expect(answer.body.code).toBe('invalid_session')
    expect(answer.headers.get('www-authenticate')).toBeNull()
    expect(answer.headers.getSetCookie()).toEqual([])
  }
  expect((await cardea.client.get('/session', { session })).status).toBe(200)
})

test('R51: a session cookie that was planted before the login is never adopted', async () => {
  const account = await cardea.createAccount()
  const stranger = await logIn()
  const planted = stranger.session
  const mine = await cardea.client.logInForCookie(account, { session: planted })
  expect(handleFields(mine).sessionId).not.toBe(handleFields(planted).sessionId)
  const shown = await cardea.client.get('/session', { session: mine })
  expect(shown.body.account.id).toBe(account.id)
})

test('R54: a cookie session ends unused after the idle time, and at the absolute one however much it is used', async () => {
  const idleMs = cardea.config.sessionIdleSeconds * 1000
  const absoluteMs = cardea.config.sessionAbsoluteSeconds * 1000
  // Another one: looking at a session is a use of it, which is written sooner or later.
  const unused = (await logIn()).session
  const usedInTime = (await logIn()).session
  clock.advance(idleMs - 1)
  expect((await cardea.client.get('/session', { session: usedInTime })).status).toBe(200)
  clock.advance(1)
  expect((await cardea.client.get('/session', { session: unused })).status).toBe(401)

  const used = (await logIn()).session
  const { uses } = cardea.instances[0]?.core.cookieSessions ?? {}
  const first = (await cardea.client.get('/session', { session: used })).body.session
  const stepMs = idleMs / 2
  for (let passedMs = stepMs; passedMs < absoluteMs; passedMs += stepMs) {
    clock.advance(stepMs)
    const answer = await cardea.client.get('/session', { session: used })
    expect(answer.status).toBe(200)
    expect(answer.body.session.absolute_expires_at).toBe(first.absolute_expires_at)
    await uses?.write()
  }
  clock.advance(stepMs)
  expect((await cardea.client.get('/session', { session: used })).status).toBe(401)
})

test('R57: two session cookies are refused, and one whose name differs in case is no session cookie', async () => {
  const { session } = await logIn()
  const name = '__Host-cardea-session'
  const get = (cookie: string) => cardea.client.get('/session', { headers: { cookie } })
  const twice = await get(`${name}=${session}; other=1; ${name}=${session}`)
  expect(twice).toMatchObject({ status: 400, body: { code: 'duplicate_cookie' } })
  const cased = await get(`__host-cardea-session=${session}; __HOST-CARDEA-SESSION=${session}`)
  expect(cased).toMatchObject({ status: 401, body: { code: 'missing_session' } })
  const one = await get(`__host-cardea-session=tossed; ${name}=${session}`)
  expect(one.status).toBe(200)
})

test('R100: neither no session cookie nor a dead one is answered with a Bearer challenge where only a cookie opens', async () => {
  const without = await cardea.client.get('/session')
  expect(without).toMatchObject({ status: 401, body: { code: 'missing_session' } })
  expect(without.headers.get('www-authenticate')).toBeNull()
  const { accessToken } = await cardea.client.logIn(await cardea.createAccount())
  const byToken = await cardea.client.get('/session', { token: accessToken })
  expect(byToken).toMatchObject({ status: 401, body: { code: 'missing_session' } })
  expect(byToken.headers.get('www-authenticate')).toBeNull()
  const dead = await cardea.client.get('/account', { session: 'dead' })
  expect(dead).toMatchObject({ status: 401, body: { code: 'invalid_session' } })
  expect(dead.headers.get('www-authenticate')).toBeNull()
  const nothing = await cardea.client.get('/account')
  expect(nothing.headers.get('www-authenticate')).toBe('Bearer realm="cardea"')
})

test('the session cookie opens what is mine, and a token that comes with it is judged alone', async () => {
  const { account, session } = await logIn()
  expect((await cardea.client.get('/account', { session })).body.id).toBe(account.id)
  const list = await cardea.client.get('/sessions', { session })
  expect(list.body.sessions).toMatchObject([{ kind: 'cookie', delivery: 'cookie', current: true }])
  const bad = await cardea.client.get('/account', { session, token: 'not-a-token' })
  expect(bad).toMatchObject({ status: 401, body: { code: 'invalid_token' } })
})

test('an operator needs a token: a session cookie opens no operator route', async () => {
  const { session } = await logIn(['operator'])
  const answer = await cardea.client.get('/admin/accounts', { session })
  expect(answer).toMatchObject({ status: 401, body: { code: 'missing_token' } })
})

test('a refresh token sent as session cookie is refused, and a session cookie sent as refresh token', async () => {
  const { account, session } = await logIn()
  const { refreshToken } = await cardea.client.logIn(account)
  expect((await cardea.client.get('/session', { session: refreshToken })).status).toBe(401)
  expect((await cardea.client.refresh(session)).body.code).toBe('invalid_refresh_token')
  expect((await cardea.client.refreshByBody(session)).body.code).toBe('invalid_refresh_token')
  const asBearer = await cardea.client.get('/account', { token: session })
  expect(asBearer.status).toBe(401)
  expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
  expect((await cardea.client.get('/session', { session })).status).toBe(200)
})

test.each(['cookie', 'sealed'])(
  'delivery has no meaning for a session of the kind %s',
  async (kind) => {
    const { email, password } = await cardea.createAccount()
    for (const delivery of ['body', 'cookie']) {
      const body = { email, password, session: kind, delivery }
      const answer = await cardea.client.post('/login', { body })
      expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
    }
  },
)
