import { afterAll, describe, expect, test } from 'vitest'
import { keyLabels } from '../../src/keys/index.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea, type TestAccount, testPassword } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { formBrowser } from '../support/service/form-browser.ts'
import { codecOf, handleFields } from '../support/service/handles.ts'

const mostSessions = 4
const sessionCookie = '__Host-cardea-session'
const refreshCookie = '__Host-cardea-refresh'
const sealedCookie = '__Host-cardea-sealed'
const deviceCookie = '__Host-cardea-device'
const formCookie = '__Host-cardea-form'

const clock = fakeClock()
const cardea = await startCardea({ clock, config: { sessionsPerAccount: mostSessions } })
const asOwner = sqlAs(cardea.stores.migrateUrl)
const trail = auditEntries(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())

type Kind = 'token' | 'cookie' | 'sealed'
const kinds: readonly Kind[] = ['token', 'cookie', 'sealed']

/** Keeps cookies as a browser does, but those that say nothing of who is logged in. */
const browser = () => {
  const cookies = new Map<string, string>()
  const keep = ({ headers }: Answer): void => {
    for (const line of headers.getSetCookie()) {
      const [name = '', value = ''] = line.split(';')[0]?.split('=') ?? []
      if (line.includes('Max-Age=0')) cookies.delete(name)
      else if (name !== deviceCookie) cookies.set(name, value)
    }
  }
  const header = () => [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  return {
    cookies,
    logIn: async ({ email, password }: TestAccount, session: Kind, more: object = {}) => {
      const body = { email, password, session, ...more }
      const answer = await cardea.client.post('/login', { body, headers: { cookie: header() } })
      keep(answer)
      return answer
    },
  }
}

const loggedIn = async (session: Kind, account?: TestAccount) => {
  const who = account ?? (await cardea.createAccount())
  const someone = browser()
  const answer = await someone.logIn(who, session)
  expect(answer.status).toBe(200)
  const handle = answer.sessionCookie ?? answer.refreshCookie ?? ''
  return { account: who, someone, handle, session, sessionId: String(answer.body.session_id) }
}

/** Whether the handle of an earlier login still opens its session. A refresh moves it on, so this is asked last. */
const opens = async ({ handle, session }: { handle: string; session: Kind }) => {
  const answer =
    session === 'cookie'
      ? await cardea.client.get('/session', { session: handle })
      : await cardea.client.refresh(handle)
  expect([200, 401]).toContain(answer.status)
  return answer.status === 200
}

const endReasonOf = async (sessionId: string) => {
  const id = Buffer.from(sessionId, 'base64url')
  const rows = await asOwner<{ end_reason: string | null }>(
    'SELECT end_reason FROM sessions WHERE id = $1',
    [id],
  )
  return rows[0]?.end_reason
}

const cookiesOfKind: Readonly<Record<Kind, readonly string[]>> = {
  token: [refreshCookie],
  cookie: [sessionCookie],
  sealed: [refreshCookie, sealedCookie],
}

const persons = ['the same person', 'somebody else'] as const

const changes = kinds.flatMap((before) =>
  kinds.flatMap((after) => persons.map((who) => [before, after, who] as const)),
)

describe('logging in with a browser that is logged in', () => {
  test.each(changes)(
    'R52: over a session of kind %s, for one of kind %s, by %s, leaves nothing of before but tokens of the same person beside a cookie',
    async (before, after, who) => {
      const old = await loggedIn(before)
      const next = who === 'the same person' ? old.account : await cardea.createAccount()
      expect((await old.someone.logIn(next, after)).status).toBe(200)
      const staysToo = before === 'token' && after === 'cookie' && who === 'the same person'
      expect([...old.someone.cookies.keys()].toSorted()).toEqual(
        [...cookiesOfKind[after], ...(staysToo ? [refreshCookie] : [])].toSorted(),
      )
      expect(await endReasonOf(old.sessionId)).toBe(staysToo ? null : 'replaced')
      expect(await opens(old)).toBe(staysToo)
      const handle = old.someone.cookies.get(cookiesOfKind[after][0] ?? '') ?? ''
      expect(await opens({ handle, session: after })).toBe(true)
    },
  )

  test('R52: both sessions end where there were two', async () => {
    const tokens = await loggedIn('token')
    const cookie = await tokens.someone.logIn(tokens.account, 'cookie')
    expect(tokens.someone.cookies.size).toBe(2)
    const stranger = await cardea.createAccount()
    await trail()
    await tokens.someone.logIn(stranger, 'cookie')
    expect([...tokens.someone.cookies.keys()]).toEqual([sessionCookie])
    expect(await opens(tokens)).toBe(false)
    expect(await opens({ handle: cookie.sessionCookie ?? '', session: 'cookie' })).toBe(false)
    const ended = { event: 'session_ended', reason: 'replaced', account: tokens.account.id }
    const actor = `account:${stranger.id}`
    expect(await trail()).toMatchObject([
      { ...ended, actor },
      { ...ended, actor },
      { event: 'login_succeeded', account: stranger.id },
    ])
  })

  test('R53: access tokens of the session before are dead as well', async () => {
    const someone = browser()
    const before = await someone.logIn(await cardea.createAccount(), 'token')
    await someone.logIn(await cardea.createAccount(), 'cookie')
    const token = String(before.body.access_token)
    expect((await cardea.client.get('/account', { token })).status).toBe(401)
  })

  test.each([-1, 1])(
    'R52: ends the session by a handle that is %i generation away, too',
    async (away) => {
      const { account, handle, sessionId } = await loggedIn('cookie')
      const body = { password: testPassword }
      const renewed = await cardea.client.post('/session/reauthenticate', { session: handle, body })
      const newest = renewed.sessionCookie ?? ''
      const fields = handleFields(newest)
      const codec = codecOf(cardea.stores.secrets, keyLabels.sessionHandle)
      const presented = codec.write({ ...fields, generation: fields.generation + away })
      await cardea.client.logInForCookie(account, { session: presented })
      expect(await opens({ handle: newest, session: 'cookie' })).toBe(false)
      expect(await endReasonOf(sessionId)).toBe('replaced')
    },
  )

  test('R56: the session that it ends takes no place: at the cap no other one is evicted', async () => {
    const account = await cardea.createAccount()
    const others = []
    for (let count = 1; count < mostSessions; count += 1) {
      others.push(await loggedIn('token', account))
      clock.advance(1000)
    }
    const { someone } = await loggedIn('token', account)
    await someone.logIn(account, 'token')
    for (const other of others) expect(await opens(other)).toBe(true)
  })

  test('a session that has expired keeps that as its reason, and only its cookie goes', async () => {
    const { account, someone, sessionId } = await loggedIn('sealed')
    clock.advance(cardea.config.sessionIdleSeconds * 1000)
    await trail()
    await someone.logIn(account, 'cookie')
    expect([...someone.cookies.keys()]).toEqual([sessionCookie])
    expect(await trail()).toMatchObject([{ event: 'login_succeeded' }])
    expect(await endReasonOf(sessionId)).toBeNull()
  })
})

describe('cookies that a login can make nothing of', () => {
  const sessionsOf = (account: TestAccount) =>
    asOwner<{ ended_at: Date | null }>(
      'SELECT s.ended_at FROM sessions s JOIN accounts a ON a.id = s.account_id WHERE a.email = $1',
      [account.email],
    )

  test.each(
    kinds.flatMap((kind) => [sessionCookie, refreshCookie].map((name) => [kind, name] as const)),
  )(
    'R57: a login of kind %s with two cookies %s is refused before the password is looked at, and changes nothing',
    async (kind, name) => {
      const { account, someone, handle } = await loggedIn(
        name === sessionCookie ? 'cookie' : 'token',
      )
      someone.cookies.set('other', `1; ${name}=${handle}`)
      await trail()
      const answer = await someone.logIn(account, kind)
      expect(answer).toMatchObject({ status: 400, body: { code: 'duplicate_cookie' } })
      expect(answer.headers.getSetCookie()).toEqual([])
      expect(await trail()).toEqual([])
      expect(await sessionsOf(account)).toEqual([{ ended_at: null }])
    },
  )

  test.each(kinds)(
    'R51: made-up ones do not keep anybody from a session of kind %s',
    async (kind) => {
      const someone = browser()
      for (const value of ['made-up', '', '%', 'A'.repeat(115)]) {
        someone.cookies.set(sessionCookie, value)
        someone.cookies.set(refreshCookie, value)
        const answer = await someone.logIn(await cardea.createAccount(), kind)
        expect(answer.status).toBe(200)
        for (const name of cookiesOfKind[kind]) expect(someone.cookies.get(name)).not.toBe(value)
        // Whatever it was, it is no session cookie of the person who has just logged in.
        expect(someone.cookies.has(sessionCookie)).toBe(kind === 'cookie')
      }
    },
  )

  test('R49: a handle that was delivered in a body ends nothing as a cookie', async () => {
    const account = await cardea.createAccount()
    const native = await cardea.client.logIn(account, { delivery: 'body' })
    const someone = browser()
    someone.cookies.set(refreshCookie, native.refreshToken)
    await someone.logIn(await cardea.createAccount(), 'token')
    expect((await cardea.client.refreshByBody(native.refreshToken)).status).toBe(200)
  })
})

describe('a login that leaves the cookies of the browser alone', () => {
  test.each(kinds)(
    'is one with delivery in the body, beside a session of kind %s',
    async (kind) => {
      const old = await loggedIn(kind)
      const before = new Map(old.someone.cookies)
      const answer = await old.someone.logIn(old.account, 'token', { delivery: 'body' })
      expect(answer.status).toBe(200)
      expect(answer.headers.getSetCookie()).toEqual([])
      expect(old.someone.cookies).toEqual(before)
      expect(await opens(old)).toBe(true)
    },
  )

  test.each(kinds)('is a refused one, with a session of kind %s', async (kind) => {
    const old = await loggedIn(kind)
    const wrong = { ...old.account, password: 'not the password of anybody' }
    const answer = await old.someone.logIn(wrong, 'cookie')
    expect(answer.status).toBe(401)
    expect(answer.headers.getSetCookie()).toEqual([])
    expect(await opens(old)).toBe(true)
  })

  test('R112: is one whose roles do not fit into a sealed session; its right password is recorded', async () => {
    const old = await loggedIn('cookie')
    const roles = Array.from({ length: 32 }, (_, place) => `${'r'.repeat(60)}${place}`)
    await asOwner('UPDATE accounts SET roles = $2 WHERE email = $1', [old.account.email, roles])
    await trail()
    const answer = await old.someone.logIn(old.account, 'sealed')
    expect(answer).toMatchObject({ status: 409, body: { code: 'sealed_session_too_large' } })
    expect(answer.headers.getSetCookie()).toEqual([])
    // Although all that was begun for it was undone.
    expect(await trail()).toMatchObject([
      {
        event: 'login_failed',
        outcome: 'failure',
        reason: 'sealed_session_too_large',
        actor: `account:${old.account.id}`,
        account: old.account.id,
      },
    ])
    expect(await opens(old)).toBe(true)
  })
})

test('R61: no answer sets a cookie that goes along from pages of other sites, nor takes one away as such', async () => {
  const account = await cardea.createAccount()
  const { email, password } = account
  const answers: { readonly headers: Headers }[] = []
  for (const session of kinds) {
    const { handle, someone } = await loggedIn(session, account)
    answers.push(await someone.logIn(account, session))
    if (session === 'cookie') {
      const again = { session: handle, body: { password } }
      answers.push(await cardea.client.post('/session/reauthenticate', again))
    } else {
      answers.push(await cardea.client.refresh(handle), await cardea.client.refresh('x'))
    }
    const cookie = [...someone.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    answers.push(await cardea.client.post('/logout', { headers: { cookie } }))
  }
  const form = formBrowser(cardea.client.address)
  const opened = await form.open('/login')
  answers.push(opened, await form.submit(opened.page(), { email, password }))
  const lines = answers.flatMap(({ headers }) => headers.getSetCookie())
  expect(new Set(lines.map((line) => line.split('=')[0]))).toEqual(
    new Set([sessionCookie, refreshCookie, sealedCookie, deviceCookie, formCookie]),
  )
  const policies = lines.map((line) => line.match(/; SameSite=(\w+)/)?.[1])
  expect(new Set(policies)).toEqual(new Set(['Strict', 'Lax']))
})
