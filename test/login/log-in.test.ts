import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { parsePhc } from '../../src/accounts/argon2-password-hasher.ts'
import { argon2PasswordHasher, loadArgon2 } from '../../src/accounts/index.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea, type TestAccount } from '../support/service/cardea.ts'
import { startCountedHashing } from '../support/service/counted-hashing.ts'
import { handleFields } from '../support/service/handles.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'

const peppers = ['the pepper that is in use now, long enough', 'the pepper that was in use before']
const deviceCookieName = '__Host-cardea-device'

/** Of the service, at which nothing takes time. */
const clock = fakeClock()

// Only the date, by which limits end: everything that waits for something else waits in real time.
vi.useFakeTimers({ toFake: ['Date'] })
// Counted in this process: a Redis that is slow for a moment would be replaced by half of each limit.
const cardea = await startCardea({ clock, redisUrl: null, peppers })
afterAll(async () => {
  await cardea.stop()
  vi.useRealTimers()
})

const asOwner = (text: string, values?: readonly unknown[]) =>
  sqlAs(cardea.stores.migrateUrl)(text, values)

const logIn = (account: TestAccount, password = account.password, headers = {}) =>
  cardea.client.post('/login', { body: { email: account.email, password }, headers })

const wrong = 'not the password of anybody'

const cookiesOf = (headers: Headers): Map<string, string> =>
  new Map(headers.getSetCookie().map((line) => [line.split('=')[0] ?? '', line]))

const deviceTokenIn = (headers: Headers): string =>
  cookiesOf(headers).get(deviceCookieName)?.split(/[=;]/)[1] ?? ''

const minuteMs = 60_000
const hourMs = 60 * minuteMs

const pass = (ms: number) => vi.setSystemTime(Date.now() + ms)

test('R1: the right credentials get a token for 900 seconds, the refresh token in the cookie alone, and an answer nobody may store', async () => {
  const account = await cardea.createAccount()
  const answer = await logIn(account)
  expect(answer.status).toBe(200)
  expect(answer.body).toEqual({
    access_token: expect.any(String),
    token_type: 'Bearer',
    expires_in: 900,
    session_id: expect.stringMatching(/^[\w-]{22}$/),
  })
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
  const { refreshCookie = '' } = answer
  expect(answer.text).not.toContain(refreshCookie)
  expect(answer.text).not.toContain(handleFields(refreshCookie).secret.toString('base64url'))
  const claims = await verifiedClaims(cardea, answer.body.access_token)
  expect(claims).toMatchObject({ sub: account.id, sid: answer.body.session_id })
})

test('R50: both cookies of a login are for this host only, secure, out of reach of scripts and of other sites', async () => {
  const cookies = cookiesOf((await logIn(await cardea.createAccount())).headers)
  expect([...cookies.keys()]).toEqual(['__Host-cardea-refresh', deviceCookieName])
  for (const [name, line] of cookies) {
    const [pair = '', ...attributes] = line.split('; ')
    expect(pair).toMatch(/=[\w-]+$/)
    expect(pair.length).toBeLessThanOrEqual(4096)
    const maxAge = name === deviceCookieName ? 365 * 86_400 : 14 * 86_400
    const expected = ['HttpOnly', `Max-Age=${maxAge}`, 'Path=/', 'SameSite=Strict', 'Secure']
    expect(attributes.toSorted()).toEqual(expected)
  }
})

test('a native client asks for its tokens in the body and gets no cookie', async () => {
  const { email, password } = await cardea.createAccount()
  const answer = await cardea.client.post('/login', { body: { email, password, delivery: 'body' } })
  expect(answer.status).toBe(200)
  expect(answer.headers.getSetCookie()).toEqual([])
  expect(answer.body).toMatchObject({
    refresh_token: expect.stringMatching(/^[\w-]{115}$/),
    device_token: expect.stringMatching(/^[\w-]{131}$/),
  })
})

test('R51: a login never takes up a session that the client brought along', async () => {
  const account = await cardea.createAccount()
  const before = await logIn(account)
  const cookie = `__Host-cardea-refresh=${before.refreshCookie}`
  const after = await logIn(account, account.password, { cookie })
  expect(after.body.session_id).not.toBe(before.body.session_id)
  const mine = handleFields(before.refreshCookie ?? '').secret
  expect(handleFields(after.refreshCookie ?? '').secret.equals(mine)).toBe(false)
})

test('R2: grant_type=password is refused in every form and at every address, and no credential is checked', async () => {
  const { email, password } = await cardea.createAccount()
  const counted = await startCountedHashing(cardea)
  onTestFinished(() => counted.stop())
  const grant = { grant_type: 'password', username: email, email, password }
  const form = new URLSearchParams(grant).toString()
  const formType = { 'content-type': 'application/x-www-form-urlencoded' }
  for (const path of ['/login', '/refresh', '/oauth/token', '/token']) {
    const asJson = await counted.client.post(path, { body: grant })
    const asForm = await counted.client.post(path, { body: form, headers: formType })
    for (const { status, text } of [asJson, asForm]) {
      expect([400, 404, 415]).toContain(status)
      expect(text).not.toContain('access_token')
    }
  }
  expect((await counted.client.post('/login', { body: grant })).status).toBe(400)
  expect(counted.computed()).toEqual({ checks: [], hashes: [] })
  expect((await counted.client.post('/login', { body: { email, password } })).status).toBe(200)
  expect(counted.computed().checks).toHaveLength(1)
})

describe('a hash that is not of today', () => {
  const storedOf = async ({ id }: TestAccount) => {
    const query = 'SELECT password_phc, password_pepper_id FROM accounts WHERE id = $1'
    const [row] = await sqlAs(cardea.stores.migrateUrl)<{
      password_phc: string
      password_pepper_id: string | null
    }>(query, [Buffer.from(id, 'base64url')])
    if (!row) throw new Error('no such account')
    return row
  }

  const store = async (account: TestAccount, options: { memoryKib: number; peppers: string[] }) => {
    const parameters = { memoryKib: options.memoryKib, passes: 1, lanes: 1 }
    const engine = await loadArgon2()
    const hasher = argon2PasswordHasher({
      engine,
      random: systemRandom,
      peppers: options.peppers,
      parameters,
    })
    const { phc, pepperId } = await hasher.hash(account.password)
    await asOwner('UPDATE accounts SET password_phc = $2, password_pepper_id = $3 WHERE id = $1', [
      Buffer.from(account.id, 'base64url'),
      phc,
      pepperId,
    ])
    return phc
  }

  const cases = [
    ['weaker parameters', { memoryKib: 7168, peppers: peppers.slice(0, 1) }],
    ['an older pepper', { memoryKib: 19_456, peppers: peppers.slice(1) }],
    ['no pepper', { memoryKib: 19_456, peppers: [] }],
  ] as const
  test.each(cases)(
    'R10: with %s is replaced while its owner logs in, and only then',
    async (_name, options) => {
      const account = await cardea.createAccount()
      const current = await storedOf(account)
      const old = await store(account, { ...options, peppers: [...options.peppers] })
      expect((await logIn(account, wrong)).status).toBe(401)
      expect((await storedOf(account)).password_phc).toBe(old)
      expect((await logIn(account)).status).toBe(200)
      const renewed = await storedOf(account)
      expect(renewed.password_phc).not.toBe(old)
      expect(parsePhc(renewed.password_phc)).toMatchObject({
        memoryKib: 19_456,
        passes: 2,
        lanes: 1,
      })
      expect(renewed.password_pepper_id).toBe(current.password_pepper_id)
      expect((await logIn(account)).status).toBe(200)
      expect(await storedOf(account)).toEqual(renewed)
    },
  )

  test('R10: a hash that is of today stays as it is', async () => {
    const account = await cardea.createAccount()
    const before = await storedOf(account)
    await logIn(account)
    expect(await storedOf(account)).toEqual(before)
  })
})

describe('many failures on one account', () => {
  const someone = async (isKnown: boolean): Promise<TestAccount> => {
    const account = await cardea.createAccount()
    return isKnown ? account : { ...account, email: `nobody-${account.email}` }
  }
  const retryAfter = ({ headers }: { headers: Headers }) => Number(headers.get('retry-after'))

  test.each([
    ['an account', true],
    ['an identifier that nobody has', false],
  ] as const)(
    'R105: make %s wait from the fifth on, longer each time, up to an hour',
    async (_name, isKnown) => {
      const account = await someone(isKnown)
      const fail = async (times: number) => {
        for (let turn = 0; turn < times; turn += 1)
          expect((await logIn(account, wrong)).status).toBe(401)
        const refused = await logIn(account, wrong)
        expect(refused).toMatchObject({ status: 429, body: { code: 'too_many_attempts' } })
        return retryAfter(refused)
      }
      const first = await fail(4)
      expect(first).toBeGreaterThan(0)
      expect(first).toBeLessThanOrEqual(60)
      pass(minuteMs)
      const second = await fail(3)
      expect(second).toBeGreaterThan(60)
      expect(second).toBeLessThanOrEqual(600)
      pass(10 * minuteMs)
      const third = await fail(3)
      expect(third).toBeGreaterThan(600)
      expect(third).toBeLessThanOrEqual(3600)
      // The right password waits as well: whoever guesses it learns nothing from that.
      expect((await logIn(account)).status).toBe(429)
    },
  )

  test('R105: a success starts the count again', async () => {
    const account = await someone(true)
    for (let turn = 0; turn < 4; turn += 1) await logIn(account, wrong)
    expect((await logIn(account, wrong)).status).toBe(429)
    pass(minuteMs)
    expect((await logIn(account)).status).toBe(200)
    for (let turn = 0; turn < 4; turn += 1) expect((await logIn(account, wrong)).status).toBe(401)
    expect((await logIn(account, wrong)).status).toBe(429)
  })

  test('R105: lock the password at the 50th in a row, however slowly they come; a known device stays let in', async () => {
    const account = await someone(true)
    const deviceCookie = `${deviceCookieName}=${deviceTokenIn((await logIn(account)).headers)}`
    const known = (password: string) => logIn(account, password, { cookie: deviceCookie })
    const trail = auditEntries(cardea.stores.migrateUrl)
    await trail()
    for (let turn = 1; turn <= 50; turn += 1) {
      pass(hourMs)
      expect((await logIn(account, wrong)).status, `failure ${turn}`).toBe(401)
    }
    const entries = await trail()
    expect(entries.filter(({ event }) => event === 'login_failed')).toHaveLength(50)
    expect(entries.filter(({ event }) => event === 'login_locked')).toHaveLength(1)
    expect(entries.at(-1)).toMatchObject({ event: 'login_locked', reason: 'password_locked' })
    pass(hourMs)
    expect(await logIn(account)).toMatchObject({
      status: 401,
      body: { code: 'invalid_credentials' },
    })
    // R109: the owner, on a device that logged in before, is not locked out by what strangers did.
    expect((await known(account.password)).status).toBe(200)

    const set = 'UPDATE accounts SET failed_logins = 50 WHERE id = $1'
    await asOwner(set, [Buffer.from(account.id, 'base64url')])
    pass(hourMs)
    expect((await logIn(account)).status).toBe(401)
    const token = await cardea.operatorToken()
    const unlocked = await cardea.client.send('PATCH', `/admin/accounts/${account.id}`, {
      token,
      body: { status: 'active' },
    })
    expect(unlocked.status).toBe(200)
    pass(hourMs)
    expect((await logIn(account)).status).toBe(200)
  })

  test('R109: the owner on a known device logs in while strangers have used the attempts up, by cookie and by body', async () => {
    const account = await someone(true)
    const cookie = `${deviceCookieName}=${deviceTokenIn((await logIn(account)).headers)}`
    const native = await cardea.client.logIn(account, { delivery: 'body' })
    for (let turn = 0; turn < 4; turn += 1) await logIn(account, wrong)
    expect((await logIn(account)).status).toBe(429)
    expect((await logIn(account, account.password, { cookie })).status).toBe(200)
    const again = await cardea.client.logIn(account, {
      delivery: 'body',
      device_token: native.body.device_token,
    })
    expect(again.status).toBe(200)
    // A device of somebody else is a stranger here.
    const other = await someone(true)
    const others = `${deviceCookieName}=${deviceTokenIn((await logIn(other)).headers)}`
    for (let turn = 0; turn < 5; turn += 1) await logIn(account, wrong)
    expect((await logIn(account, account.password, { cookie: others })).status).toBe(429)
  })

  test('a stolen device token is no free pass to guess', async () => {
    const account = await someone(true)
    const cookie = `${deviceCookieName}=${deviceTokenIn((await logIn(account)).headers)}`
    for (let turn = 0; turn < 4; turn += 1) {
      expect((await logIn(account, wrong, { cookie })).status).toBe(401)
    }
    expect((await logIn(account, wrong, { cookie })).status).toBe(429)
    // And it locks out nobody else.
    expect((await logIn(account)).status).toBe(200)
  })

  test('R57: two device cookies are refused', async () => {
    const cookie = `${deviceCookieName}=a; ${deviceCookieName}=b`
    const answer = await logIn(await someone(true), wrong, { cookie })
    expect(answer).toMatchObject({ status: 400, body: { code: 'duplicate_cookie' } })
  })
})

describe('the address of an attempt', () => {
  const attempts = async (
    trustedProxies: readonly string[],
    forwardedFor: (turn: number) => string,
  ) => {
    const own = await startCardea({
      redisUrl: null,
      config: { trustedProxies, loginFailuresPerSource: 3, loginFailuresPerNetwork: 1000 },
    })
    try {
      const trail = auditEntries(own.stores.migrateUrl)
      // The first start has entries of its own.
      await trail()
      const statuses: number[] = []
      for (let turn = 0; turn < 5; turn += 1) {
        const { status } = await own.client.post('/login', {
          body: { email: `nobody-${turn}@example.com`, password: wrong },
          headers: {
            'x-forwarded-for': forwardedFor(turn),
            forwarded: `for=198.51.100.${turn}`,
            'x-real-ip': `198.51.100.${turn}`,
          },
        })
        statuses.push(status)
      }
      const entries = await trail()
      return { statuses, addresses: new Set(entries.map(({ address }) => address)) }
    } finally {
      await own.stop()
    }
  }
  const proxy = ['127.0.0.1/32']

  test('R107: sent directly, forged forwarding headers escape no limit and reach no audit entry', async () => {
    const { statuses, addresses } = await attempts([], (turn) => `198.51.100.${turn}`)
    expect(statuses).toEqual([401, 401, 401, 429, 429])
    expect(addresses).toEqual(new Set(['127.0.0.1']))
  })

  test('R107: through a trusted proxy, what the client wrote before the proxy changes nothing', async () => {
    const { statuses, addresses } = await attempts(
      proxy,
      (turn) => `198.51.100.${turn}, 203.0.113.9`,
    )
    expect(statuses).toEqual([401, 401, 401, 429, 429])
    expect(addresses).toEqual(new Set(['203.0.113.9']))
  })

  test('R106, R107: through a trusted proxy every client has a limit of its own', async () => {
    const { statuses, addresses } = await attempts(proxy, (turn) => `203.0.${turn}.9`)
    expect(statuses).toEqual([401, 401, 401, 401, 401])
    expect(addresses.size).toBe(5)
  })
})

test('R98: a member that may have one of several values is told which, and not what was sent', async () => {
  const { email, password } = await cardea.createAccount()
  const detailFor = async (more: object) => {
    const answer = await cardea.client.post('/login', { body: { email, password, ...more } })
    expect(answer.status).toBe(400)
    expect(answer.text).not.toContain('hunter2')
    return answer.body.detail
  }
  const kinds = 'body.session must be "token" or "cookie" or "sealed".'
  expect(await detailFor({ session: 'hunter2' })).toBe(kinds)
  expect(await detailFor({ session: 7 })).toBe(kinds)
  const deliveries = 'body.delivery must be "cookie" or "body".'
  expect(await detailFor({ delivery: 'hunter2' })).toBe(deliveries)
})
