import { randomUUID } from 'node:crypto'
import { compactDecrypt, decodeProtectedHeader } from 'jose'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import { secretRing } from '../../src/keys/index.ts'
import { sealingKeys } from '../../src/tokens/index.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'

const secret = 'a secret of these tests that is long enough'
const audiences = ['https://shop.example.com', 'https://api.example.com']
const [shop = '', api = ''] = audiences

const clock = fakeClock()
const cardea = await startCardea({ clock, secrets: [secret], config: { audiences } })
const asOwner = sqlAs(cardea.stores.migrateUrl)
afterAll(() => cardea.stop())

/** The value that an answer gives a cookie: empty when it deletes it, undefined when it says nothing. */
const cookieIn = ({ headers }: Answer, name: string): string | undefined => {
  const line = headers.getSetCookie().find((cookie) => cookie.startsWith(`${name}=`))
  return line?.slice(name.length + 1).split(';')[0]
}

const sealedIn = (answer: Answer) => cookieIn(answer, '__Host-cardea-sealed')

const logIn = (
  account: TestAccount,
  more: Readonly<Record<string, unknown>> = {},
  service = cardea,
) => service.client.logIn(account, { session: 'sealed', ...more })

/** Opened by the library, with the key that the web app is given. */
const openWith = async (sealed: string, audience: string, secrets: string[] = [secret]) => {
  const keys = sealingKeys(secretRing(secrets), audience)
  const { kid } = decodeProtectedHeader(sealed)
  const key = keys.find((one) => one.kid === kid)
  if (!key) throw new Error('sealed with none of these keys')
  const { plaintext } = await compactDecrypt(sealed, key.key)
  return Buffer.from(plaintext).toString()
}

const claimsIn = async (sealed: string | undefined, audience = shop) =>
  verifiedClaims(cardea, await openWith(sealed ?? '', audience), { audience, clock })

/** Roles whose names fill about so many characters of a token. */
const manyRoles = (count: number) => Array.from({ length: count }, () => `role-${randomUUID()}`)

const setRoles = (account: TestAccount, roles: readonly string[]) =>
  asOwner('UPDATE accounts SET roles = $2 WHERE email = $1', [account.email, roles])

const sessionsOf = (account: TestAccount) =>
  asOwner<{ kind: string; generation: number; ended_at: Date | null }>(
    'SELECT s.* FROM sessions s JOIN accounts a ON a.id = s.account_id WHERE a.email = $1',
    [account.email],
  )

describe('a sealed session', () => {
  test('R50: begins with two cookies, as every credential cookie is, and no token in the body', async () => {
    const account = await cardea.createAccount()
    const answer = await logIn(account)
    expect(Object.keys(answer.body).sort()).toEqual(['expires_in', 'session_id'])
    expect(answer.body.expires_in).toBe(900)
    const lines = answer.headers.getSetCookie()
    const [refresh = '', sealed = ''] = lines
    expect(refresh).toMatch(
      /^__Host-cardea-refresh=[\w-]+; Max-Age=1209600; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
    )
    expect(sealed).toMatch(
      /^__Host-cardea-sealed=[\w.-]+; Max-Age=900; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    )
    expect(answer.text).not.toContain('eyJ')
    expect(await sessionsOf(account)).toMatchObject([{ kind: 'sealed', ended_at: null }])
  })

  test('holds the access token, for the holder of the key of its audience and nobody else', async () => {
    const account = await cardea.createAccount(['editor'])
    const answer = await logIn(account, { audience: api })
    const sealed = sealedIn(answer) ?? ''
    expect(decodeProtectedHeader(sealed)).toEqual({
      alg: 'dir',
      enc: 'A256GCM',
      kid: expect.stringMatching(/^[\w-]{43}$/),
      cty: 'JWT',
    })
    expect(await claimsIn(sealed, api)).toMatchObject({
      sub: account.id,
      sid: answer.body.session_id,
      aud: api,
      roles: ['editor'],
    })
    await expect(openWith(sealed, shop)).rejects.toThrow('none of these keys')
    await expect(openWith(sealed, api, [`${secret}, another`])).rejects.toThrow('none of these')
  })

  test('R38: is refreshed by its cookie: a new handle and a new sealed token, and no token in the body', async () => {
    const account = await cardea.createAccount()
    const first = await logIn(account)
    clock.advance(60_000)
    const answer = await cardea.client.refresh(first.refreshToken)
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({ session_id: first.body.session_id, expires_in: 900 })
    expect(answer.refreshCookie).not.toBe(first.refreshToken)
    const before = await claimsIn(sealedIn(first))
    const after = await claimsIn(sealedIn(answer))
    expect(after['sid']).toBe(before['sid'])
    expect(after['jti']).not.toBe(before['jti'])
    expect(after['exp']).toBe(Number(before['exp']) + 60)
    expect(answer.headers.getSetCookie()).toHaveLength(2)
  })

  test('R41: an old handle of it ends it like any other, and takes both cookies away', async () => {
    const account = await cardea.createAccount()
    const first = await logIn(account)
    const second = await cardea.client.refresh(first.refreshToken)
    const third = await cardea.client.refresh(second.refreshCookie ?? '')
    const sealed = sealedIn(third) ?? ''
    const cookie = `__Host-cardea-refresh=${first.refreshToken}; __Host-cardea-sealed=${sealed}`
    const theft = await cardea.client.post('/refresh', { headers: { cookie } })
    expect(theft.body).toMatchObject({ code: 'session_ended', reason: 'token_reuse' })
    expect([theft.refreshCookie, sealedIn(theft)]).toEqual(['', ''])
    expect((await cardea.client.refresh(third.refreshCookie ?? '')).status).toBe(401)
    const token = await openWith(sealed, shop)
    expect((await cardea.client.get('/account', { token })).status).toBe(401)
  })

  test('R53: ends at logout, which deletes both cookies with the attributes they were set with', async () => {
    const account = await cardea.createAccount()
    const first = await logIn(account)
    const sealed = sealedIn(first) ?? ''
    const cookie = `__Host-cardea-refresh=${first.refreshToken}; __Host-cardea-sealed=${sealed}`
    const answer = await cardea.client.post('/logout', { headers: { cookie } })
    expect(answer.status).toBe(204)
    expect(answer.headers.getSetCookie()).toContain(
      '__Host-cardea-sealed=; Max-Age=0; Path=/; HttpOnly; Secure; SameSite=Lax',
    )
    expect(answer.refreshCookie).toBe('')
    const token = await openWith(sealed, shop)
    expect((await cardea.client.get('/account', { token })).status).toBe(401)
  })

  test('is not to be had in a body', async () => {
    const { email, password } = await cardea.createAccount()
    const body = { email, password, session: 'sealed', delivery: 'body' }
    const answer = await cardea.client.post('/login', { body })
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
    const { refreshToken } = await logIn(await cardea.createAccount())
    const inBody = await cardea.client.refreshByBody(refreshToken)
    expect(inBody).toMatchObject({ status: 401, body: { code: 'invalid_refresh_token' } })
  })
})

describe('the sealed cookie', () => {
  test('opens nothing here: not as a refresh token, not as a session cookie, not as a bearer token', async () => {
    const account = await cardea.createAccount()
    const sealed = sealedIn(await logIn(account, { audience: cardea.config.issuer })) ?? ''
    expect((await cardea.client.refresh(sealed)).status).toBe(401)
    expect((await cardea.client.refreshByBody(sealed)).status).toBeGreaterThanOrEqual(400)
    expect((await cardea.client.get('/account', { token: sealed })).body.code).toBe('invalid_token')
    for (const name of ['__Host-cardea-sealed', '__Host-cardea-session']) {
      for (const path of ['/session', '/account', '/sessions']) {
        const answer = await cardea.client.get(path, { headers: { cookie: `${name}=${sealed}` } })
        expect({ name, path, status: answer.status }).toEqual({ name, path, status: 401 })
      }
    }
    const alone = { headers: { cookie: `__Host-cardea-sealed=${sealed}` } }
    expect((await cardea.client.post('/refresh', alone)).body.code).toBe('missing_refresh_token')
    expect((await cardea.client.post('/logout', alone)).body.code).toBe('missing_refresh_token')
    expect(await sessionsOf(account)).toMatchObject([{ generation: 0, ended_at: null }])
  })

  test('follows CARDEA_SECRET when it is rolled: the new secret seals, the old one still opens', async () => {
    const rolled = ['the next secret of these tests, long enough', secret]
    const { migrateUrl: ownerUrl, databaseUrl: appUrl } = cardea.stores
    const database = { ownerUrl, appUrl }
    const next = await startCardea({ clock, secrets: rolled, config: { audiences }, database })
    onTestFinished(() => next.stop())
    const first = await logIn(await cardea.createAccount())
    const answer = await next.client.refresh(first.refreshToken)
    expect(answer.status).toBe(200)
    const [old, fresh] = [sealedIn(first) ?? '', sealedIn(answer) ?? '']
    await openWith(old, shop, rolled)
    await openWith(fresh, shop, rolled)
    await expect(openWith(fresh, shop, [secret])).rejects.toThrow('none of these keys')
  })
})

describe('an account whose token does not fit into a cookie', () => {
  test('R50: is refused a sealed session, and leaves none behind; another kind it can have', async () => {
    const account = await cardea.createAccount(manyRoles(60))
    const { email, password } = account
    const body = { email, password, session: 'sealed' }
    // More often than wrong passwords are let pass: none of these counts as one.
    for (let attempt = 0; attempt < 12; attempt += 1) {
      const answer = await cardea.client.post('/login', { body })
      expect(answer.status).toBe(409)
      expect(answer.body.code).toBe('sealed_session_too_large')
      expect(answer.headers.getSetCookie()).toEqual([])
    }
    expect(await sessionsOf(account)).toEqual([])
    expect((await cardea.client.logIn(account)).status).toBe(200)
  })

  test('keeps its session when it grew in between: the handle goes on, and so does the person', async () => {
    const account = await cardea.createAccount()
    const first = await logIn(account)
    await setRoles(account, manyRoles(60))
    const tooLarge = await cardea.client.refresh(first.refreshToken)
    expect(tooLarge).toMatchObject({ status: 409, body: { code: 'sealed_session_too_large' } })
    expect(tooLarge.refreshCookie).toMatch(/^[\w-]{115}$/)
    // The old one stays until it expires by itself: its roles were right when it was sealed.
    expect(sealedIn(tooLarge)).toBeUndefined()
    const again = await cardea.client.refresh(tooLarge.refreshCookie ?? '')
    expect(again).toMatchObject({ status: 409 })
    // Lost answers converge as always.
    expect((await cardea.client.refresh(tooLarge.refreshCookie ?? '')).refreshCookie).toBe(
      again.refreshCookie,
    )
    await setRoles(account, ['editor'])
    const fits = await cardea.client.refresh(again.refreshCookie ?? '')
    expect(fits.status).toBe(200)
    const claims = await claimsIn(sealedIn(fits))
    expect(claims['roles']).toEqual(['editor'])
    expect(await sessionsOf(account)).toMatchObject([{ ended_at: null, generation: 3 }])
  })

  test('R50: what is sealed comes as near to 4096 bytes as it can, and never beyond', async () => {
    const account = await cardea.createAccount()
    let { refreshToken } = await logIn(account)
    let last = 0
    for (let roles = 30; roles <= 60; roles += 1) {
      await setRoles(account, manyRoles(roles))
      const answer = await cardea.client.refresh(refreshToken)
      if (answer.status === 409) break
      refreshToken = answer.refreshCookie ?? ''
      last = '__Host-cardea-sealed'.length + (sealedIn(answer) ?? '').length
      expect(last).toBeLessThanOrEqual(4096)
    }
    // One more role takes 44 characters of JSON, and those 78 of the cookie.
    expect(last).toBeGreaterThan(4096 - 82)
  })
})
