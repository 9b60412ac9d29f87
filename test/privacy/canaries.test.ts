import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { freePort } from '../support/servers/free-port.ts'
import { dumpOf, sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import type { Answer, RequestOptions } from '../support/service/client.ts'
import { handleFields } from '../support/service/handles.ts'
import { basicHeader, newServiceClient } from '../support/service/service-client.ts'

/**
 * One run of everything that handles a secret, going well and going wrong, with the most talkative log. Afterwards the log, the
 * database and the answers are searched for each secret, in every encoding that somebody might have put it in.
 */

const redisPassword = 'canary-redis-password-1f0c'
const serverSecret = 'canary-server-secret-that-is-long-enough-77'
const pepper = 'canary-pepper-that-is-long-enough-too-31'

let clock: FakeClock
let cardea: Cardea
/** What must be nowhere: by name, so that a failure tells which without telling the secret. */
const secrets = new Map<string, string>()
/** Answers that have no business holding any secret. */
const quietAnswers: string[] = []
let sessionIds: string[] = []

const remember = (name: string, value: string) => {
  expect(value.length, name).toBeGreaterThan(12)
  secrets.set(name, value)
}

const rememberHandle = (name: string, handle: string) => {
  const { secret, mac } = handleFields(handle)
  remember(name, handle)
  for (const encoding of ['hex', 'base64', 'base64url'] as const) {
    remember(`the secret in ${name} as ${encoding}`, secret.toString(encoding))
    remember(`the MAC in ${name} as ${encoding}`, mac.toString(encoding))
  }
}

const deviceTokenOf = ({ headers }: Answer): string =>
  /__Host-cardea-device=([\w-]+)/.exec(headers.getSetCookie().join('\n'))?.[1] ?? ''

/** Sends a request whose answer holds no secret, whatever it is. */
const quietly = async (method: string, path: string, options: RequestOptions = {}) => {
  const answer = await cardea.client.send(method, path, options)
  quietAnswers.push(answer.text, [...answer.headers].flat().join('\n'))
  return answer
}

const passwords = {
  right: 'canary right password é 9d1',
  wrong: 'canary wrong password è 4b2',
  malformed: 'canary malformed password 8c3',
  refused: 'canary refused',
  inTheAddress: 'canary-typed-as-address-6e5',
}

const goWell = async (token: string) => {
  const email = 'canary@example.com'
  await quietly('POST', '/admin/accounts', { token, body: { email, password: passwords.right } })
  const browser = await cardea.client.logIn({ email, password: passwords.right })
  rememberHandle('a refresh cookie', browser.refreshToken)
  remember('an access token', browser.accessToken)
  remember('a device cookie', deviceTokenOf(browser))
  const phone = await cardea.client.logIn(
    { email, password: passwords.right },
    { delivery: 'body' },
  )
  rememberHandle('a refresh token', phone.refreshToken)
  remember('a device token', phone.body.device_token)
  const next = await cardea.client.refresh(browser.refreshToken)
  rememberHandle('a successor', next.refreshCookie ?? '')
  remember('a refreshed access token', next.body.access_token)
  sessionIds = [browser.body.session_id, phone.body.session_id]
  await quietly('GET', '/account', { token: browser.accessToken })
  await quietly('GET', '/sessions', { token: browser.accessToken })
  await quietly('GET', '/admin/accounts', { token })
  return { email, browser, phone, next }
}

/** A service client asks about tokens, with its own secret, a wrong one, and requests that are out of order. */
const asService = async (...tokens: readonly string[]) => {
  const { clientId, clientSecret, authorization } = await newServiceClient(cardea)
  const wrong = randomBytes(32).toString('base64url')
  for (const [name, secret] of Object.entries({ right: clientSecret, wrong })) {
    remember(`the ${name} secret of a service client`, secret)
    remember(`the ${name} secret in hex`, Buffer.from(secret, 'base64url').toString('hex'))
  }
  const form = 'application/x-www-form-urlencoded'
  const ask = (authorization: string, body: string, path = '/oauth/introspect') =>
    quietly('POST', path, { headers: { 'content-type': form, authorization }, body })
  for (const token of tokens) {
    await ask(authorization, `token=${token}`)
    await ask(authorization, `token=${token}&token=${token}`)
    await ask(authorization, `token=${token}%00`)
    await ask(basicHeader(clientId, wrong), `token=${token}`)
    await ask(basicHeader(wrong, clientId), `token=${token}&client_secret=${clientSecret}`)
    await ask(authorization, `client_secret=${clientSecret}&token=${token}`)
    await ask(authorization, '', `/oauth/introspect?token=${token}&client_secret=${clientSecret}`)
  }
  const asOwner = sqlAs(cardea.stores.migrateUrl)
  await asOwner('ALTER TABLE service_clients RENAME TO hidden')
  await ask(basicHeader(clientId, wrong), 'token=x')
  await asOwner('ALTER TABLE hidden RENAME TO service_clients')
}

const goWrong = async ({ email, browser, phone, next }: Awaited<ReturnType<typeof goWell>>) => {
  const { wrong, malformed, refused, inTheAddress } = passwords
  const token = await cardea.operatorToken()
  remember('an operator token', token)
  await quietly('POST', '/login', { body: { email, password: wrong } })
  await quietly('POST', '/login', { body: { email: inTheAddress, password: wrong } })
  await quietly('POST', '/login', {
    body: { email: `${inTheAddress}@example.com`, password: wrong },
  })
  await quietly('POST', '/login', { body: { email, password: [malformed] } })
  await quietly('POST', '/login', { body: { email, password: malformed, [malformed]: malformed } })
  await quietly('POST', '/login', { body: `{"email":"${email}","password":"${malformed}` })
  await quietly('POST', `/login?password=${encodeURIComponent(malformed)}`, {
    body: { email, password: wrong },
  })
  await quietly('POST', '/admin/accounts', {
    token,
    body: { email: 'b@example.com', password: refused },
  })
  await quietly('GET', `/account?access_token=${browser.accessToken}`)
  await quietly('GET', `/${browser.accessToken}`)
  await quietly('GET', '/account', { token: `${browser.accessToken}x` })
  await quietly('POST', '/refresh', { handle: browser.refreshToken.slice(0, -1) })
  await quietly('POST', `/refresh?refresh_token=${phone.refreshToken}`)
  await quietly('POST', '/refresh', { body: { refresh_token: browser.refreshToken } })
  await quietly('DELETE', `/sessions/${phone.refreshToken}`, { token: browser.accessToken })
  clock.advance(60_000)
  await quietly('POST', '/refresh', { handle: browser.refreshToken })
  await quietly('POST', '/refresh', { handle: next.refreshCookie ?? '' })
  await asService(phone.refreshToken, browser.accessToken)
  await quietly('POST', '/admin/revoke', { token, body: { everyone: true, reason: 'a test' } })
  await quietly('POST', '/logout', { body: { refresh_token: phone.refreshToken } })
}

/** Statements fail with all their parameters at hand; connections break with the address they were made to. */
const breakTheStore = async () => {
  const asOwner = sqlAs(cardea.stores.migrateUrl)
  const account = await cardea.createAccount()
  const { accessToken, refreshToken } = await cardea.client.logIn(account)
  remember('an access token during an outage', accessToken)
  rememberHandle('a refresh token during an outage', refreshToken)
  for (const table of ['sessions', 'accounts', 'audit_events']) {
    await asOwner(`ALTER TABLE ${table} RENAME TO hidden`)
    const email = 'canary@example.com'
    await quietly('POST', '/login', { body: { email, password: passwords.right } })
    await quietly('POST', '/refresh', { handle: refreshToken })
    await quietly('GET', '/account', { token: accessToken })
    await asOwner(`ALTER TABLE hidden RENAME TO ${table}`)
  }
  await asOwner(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'cardea'",
  )
  await vi.waitFor(() =>
    expect(cardea.log.join('')).toContain('an idle connection to postgres broke'),
  )
}

beforeAll(async () => {
  clock = fakeClock()
  cardea = await startCardea({
    clock,
    secrets: [serverSecret],
    peppers: [pepper],
    config: { logLevel: 'trace' },
    // Nobody listens there: what is reported of that must not name the password.
    redisUrl: `redis://canary:${redisPassword}@127.0.0.1:${await freePort()}`,
  })
  for (const [name, value] of Object.entries(passwords)) remember(`password ${name}`, value)
  remember(
    'the password of the application role',
    decodeURIComponent(new URL(inject('postgresAppUrl')).password),
  )
  remember('the password of Redis', redisPassword)
  remember('the server secret', serverSecret)
  remember('the pepper', pepper)
  const token = await cardea.operatorToken()
  remember('the first operator token', token)
  await goWrong(await goWell(token))
  await breakTheStore()
})
afterAll(() => cardea.stop())

const encodingsOf = (secret: string): string[] => {
  const bytes = Buffer.from(secret)
  // Inside a longer text that is encoded as a whole, a secret may begin at any of three places of a group of base64.
  const shifted = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .slice(4, -4),
  )
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    new URLSearchParams({ v: secret }).toString().slice(2),
    bytes.toString('hex'),
    ...shifted,
    ...shifted.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
  ]
}

const foundIn = (text: string): string[] => {
  const lowerCase = text.toLowerCase()
  return [...secrets].flatMap(([name, secret]) =>
    encodingsOf(secret).some((needle) => lowerCase.includes(needle.toLowerCase())) ? [name] : [],
  )
}

describe('R113: after a run with secrets that are known', () => {
  test('R113: the search finds a planted secret in each encoding, so that finding nothing means something', () => {
    const secret = passwords.right
    const planted = [
      secret,
      Buffer.from(`user:${secret}:more`).toString('base64'),
      Buffer.from(`x${secret}xx`).toString('base64url'),
      `?password=${encodeURIComponent(secret)}`,
      Buffer.from(secret).toString('hex'),
    ]
    for (const text of planted) expect(foundIn(`{"msg":"${text}"}`)).toContain('password right')
    expect(foundIn('{"msg":"nothing"}')).toEqual([])
    expect(secrets.size).toBeGreaterThan(40)
  })

  test('R113: the log holds none of them, though it tells of every failure', () => {
    const log = cardea.log.join('')
    expect(log).toContain('request failed')
    expect(log).toContain('request refused')
    expect(log).toContain('redis')
    expect(foundIn(log)).toEqual([])
  })

  test('R113: no table of the database holds any of them', async () => {
    const dump = await dumpOf(cardea.stores.migrateUrl)
    expect(dump).toContain('login_failed')
    expect(dump).toContain('token_reuse')
    expect(foundIn(dump)).toEqual([])
  })

  test('R113: no answer that has no business with them holds any of them', () => {
    expect(quietAnswers.length).toBeGreaterThan(50)
    expect(foundIn(quietAnswers.join('\n'))).toEqual([])
  })

  test('R113: the log and the trail know sessions by a keyed hash only', async () => {
    const trail = await sqlAs(cardea.stores.migrateUrl)<{ line: string }>(
      'SELECT t::text AS line FROM audit_events t',
    )
    const text = cardea.log.join('') + trail.map(({ line }) => line).join('\n')
    for (const id of sessionIds) {
      expect(text).not.toContain(id)
      expect(text).not.toContain(Buffer.from(id, 'base64url').toString('hex'))
    }
  })

  test('R113: addresses are in the accounts table, and nowhere else in the database or the log', async () => {
    const dump = await dumpOf(cardea.stores.migrateUrl)
    const elsewhere = dump.split('\n').filter((line) => !line.startsWith('accounts '))
    expect(dump).toContain('canary@example.com')
    expect(`${elsewhere.join('\n')}${cardea.log.join('')}`).not.toContain('@example.com')
  })
})
