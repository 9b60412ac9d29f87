import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { decideRefresh, type RequestedGrant } from '../../src/refresh/index.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { handleFields } from '../support/service/handles.ts'
import { postForm } from '../support/service/service-client.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'

const shop = 'https://shop.example.com'
const orders = 'https://orders.example.com'
const bills = 'https://bills.example.com'

let account: TestAccount

const clock = fakeClock()
const cardea = await startCardea({ clock, config: { audiences: [shop, orders, bills] } })
const issuer = cardea.config.issuer
afterAll(() => cardea.stop())
beforeEach(async () => {
  account = await cardea.createAccount()
})

const core = () => {
  const [instance] = cardea.instances
  if (!instance) throw new Error('no instance')
  return instance.core
}

type Wish = { readonly audience?: string; readonly scope?: string }

const byOauth = (parameter: 'audience' | 'resource') => ({
  delivery: 'body' as const,
  ask: (handle: string, { audience, ...wish }: Wish) =>
    postForm(cardea.client, '/oauth/token', undefined, {
      grant_type: 'refresh_token',
      refresh_token: handle,
      ...(audience !== undefined && { [parameter]: audience }),
      ...wish,
    }),
  handleIn: ({ body }: Answer): string => body.refresh_token,
  codeIn: ({ body }: Answer): string => body.error,
})

/** The two routes of a refresh, for a session that is delivered in the body, and one for browsers. */
const routes = {
  'POST /refresh, by cookie': {
    delivery: 'cookie',
    ask: (handle: string, wish: Wish) => cardea.client.post('/refresh', { handle, body: wish }),
    handleIn: (answer: Answer): string => answer.refreshCookie ?? '',
    codeIn: ({ body }: Answer): string => body.code,
  },
  'POST /refresh, by body': {
    delivery: 'body',
    ask: (handle: string, wish: Wish) =>
      cardea.client.post('/refresh', { body: { refresh_token: handle, ...wish } }),
    handleIn: ({ body }: Answer): string => body.refresh_token,
    codeIn: ({ body }: Answer): string => body.code,
  },
  'POST /oauth/token with audience': byOauth('audience'),
  'POST /oauth/token with resource': byOauth('resource'),
} as const

const claimsOf = (token: string, audience: string) =>
  verifiedClaims(cardea, token, { audience, clock })

const rowOf = async (handle: string) => {
  const text = 'SELECT * FROM sessions WHERE id = $1'
  const id = Buffer.from(handleFields(handle).sessionId, 'base64url')
  const [row] = await sqlAs(cardea.stores.migrateUrl)<Record<string, unknown>>(text, [id])
  return row
}

describe.each(Object.entries(routes))('%s', (_name, { delivery, ask, handleIn, codeIn }) => {
  const logIn = (who: TestAccount, audience?: string | readonly string[]) =>
    cardea.client.logIn(who, { delivery, ...(audience && { audience }) })

  /** The token of this wish, and the next handle. */
  const tokenFor = async (handle: string, wish: Wish, audience: string) => {
    const answer = await ask(handle, wish)
    expect(answer.status, answer.text).toBe(200)
    const claims = await claimsOf(answer.body.access_token, audience)
    return { claims, next: handleIn(answer) }
  }

  const expectRefused = async (handle: string, wish: Wish, code: string) => {
    const was = await rowOf(handle)
    const answer = await ask(handle, wish)
    expect(answer, JSON.stringify(wish)).toMatchObject({ status: 400 })
    expect(codeIn(answer)).toBe(code)
    expect(answer.headers.getSetCookie()).toEqual([])
    expect(await rowOf(handle)).toEqual(was)
  }

  test('R48: one login that names no audience serves every one, each token for one of them', async () => {
    const first = await logIn(account)
    const old = await claimsOf(first.accessToken, shop)
    let handle = first.refreshToken
    for (const audience of [orders, bills, issuer, shop]) {
      const { claims, next } = await tokenFor(handle, { audience }, audience)
      expect(claims.aud).toBe(audience)
      for (const claim of ['sid', 'sub', 'client_id', 'auth_time', 'acr', 'amr', 'aep', 'scope']) {
        expect(claims[claim], claim).toEqual(old[claim])
      }
      handle = next
    }
    // What one request names is for one token.
    await tokenFor(handle, {}, shop)
  })

  test('R48: one that names some serves these, the first of them by default, and no other', async () => {
    const { accessToken, refreshToken } = await logIn(account, [orders, bills])
    await claimsOf(accessToken, orders)
    for (const audience of [shop, issuer]) {
      await expectRefused(refreshToken, { audience }, 'invalid_target')
    }
    const { next } = await tokenFor(refreshToken, { audience: bills }, bills)
    await tokenFor(next, {}, orders)
    const alone = await logIn(account, shop)
    await expectRefused(alone.refreshToken, { audience: orders }, 'invalid_target')
    await tokenFor(alone.refreshToken, { audience: shop }, shop)
  })

  test('R48: an audience that is none, and a scope beyond the login or not written as one, consume nothing', async () => {
    const { refreshToken } = await logIn(account)
    for (const audience of ['https://nobody.example.com', `${shop}/`, shop.toUpperCase()]) {
      await expectRefused(refreshToken, { audience }, 'invalid_target')
    }
    for (const scope of ['admin', 'account admin', 'orders:read', 'account  admin', ' ', 'a"b']) {
      await expectRefused(refreshToken, { scope }, 'invalid_scope')
    }
    await expectRefused(refreshToken, { audience: orders, scope: 'admin' }, 'invalid_scope')
    // Long after the grace it is still the newest one.
    clock.advance(60_000)
    await tokenFor(refreshToken, { audience: orders, scope: 'account' }, orders)
  })

  test('R48: no token has the scope admin for anybody but the issuer, and none that the login did not have', async () => {
    const operator = await cardea.createAccount(['operator'])
    const forIssuer = await logIn(operator, [issuer, shop])
    const whole = await tokenFor(forIssuer.refreshToken, {}, issuer)
    expect(whole.claims.scope).toBe('account admin')
    const narrow = await tokenFor(whole.next, { scope: 'account' }, issuer)
    expect(narrow.claims.scope).toBe('account')
    const elsewhere = await tokenFor(narrow.next, { audience: shop }, shop)
    expect(elsewhere.claims.scope).toBe('account')
    // The next is whole again: what was left out was left out of one token.
    const again = await tokenFor(elsewhere.next, { scope: 'admin' }, issuer)
    expect(again.claims.scope).toBe('admin')
    // Nor is anything gained by logging in for the shop, or for nothing in particular.
    for (const named of [shop, undefined]) {
      const { refreshToken } = await logIn(operator, named)
      await expectRefused(refreshToken, { scope: 'admin' }, 'invalid_scope')
    }
    const unnamed = await logIn(operator)
    const { claims } = await tokenFor(unnamed.refreshToken, { audience: issuer }, issuer)
    expect(claims.scope).toBe('account')
  })

  test('R48: a login for several services gives an operator’s token for the issuer alone', async () => {
    const operator = await cardea.createAccount(['operator'])
    const { accessToken, refreshToken } = await logIn(operator, [shop, issuer])
    expect((await claimsOf(accessToken, shop)).scope).toBe('account')
    const { claims } = await tokenFor(refreshToken, { audience: issuer }, issuer)
    expect(claims.scope).toBe('account admin')
  })

  test('R42: a lost response to a request that is refused now is not resumed by it, nor is theft hidden by it', async () => {
    const { refreshToken } = await logIn(account, shop)
    const { next } = await tokenFor(refreshToken, {}, shop)
    await expectRefused(refreshToken, { audience: orders }, 'invalid_target')
    clock.advance(60_000)
    await expectRefused(refreshToken, { audience: orders }, 'invalid_target')
    await tokenFor(next, {}, shop)
    const answer = await ask(refreshToken, { audience: orders })
    expect([400, 401]).toContain(answer.status)
    expect(['session_ended', 'invalid_grant']).toContain(codeIn(answer))
    expect(await rowOf(next)).toMatchObject({ end_reason: 'token_reuse' })
  })
})

test('R40: tabs that refresh at once for different services get the same successor', async () => {
  const { refreshToken } = await cardea.client.logIn(account)
  const wanted = [shop, orders, bills, issuer]
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, turn) =>
      cardea.client.post('/refresh', {
        handle: refreshToken,
        body: { audience: wanted[turn % wanted.length] },
      }),
    ),
  )
  expect(new Set(answers.map(({ refreshCookie }) => refreshCookie)).size).toBe(1)
  for (const [turn, answer] of answers.entries()) {
    expect(answer.status).toBe(200)
    await claimsOf(answer.body.access_token, wanted[turn % wanted.length] ?? '')
  }
})

test('R118: what is no audience and no scope is refused by its form, at the login and at the refresh', async () => {
  const { email, password } = account
  const { refreshToken: handle } = await cardea.client.logIn(account)
  for (const audience of [null, 7, '', [], [shop, 7], [shop, shop], {}, Array(11).fill(shop)]) {
    const body = { email, password, audience }
    expect(await cardea.client.post('/login', { body })).toMatchObject({ status: 400 })
  }
  const unknown = { status: 400, body: { code: 'unknown_audience' } }
  for (const audience of ['https://nobody.example.com', [shop, 'https://nobody.example.com']]) {
    const body = { email, password, audience }
    expect(await cardea.client.post('/login', { body })).toMatchObject(unknown)
  }
  for (const body of [
    ...[null, 7, '', [orders], 'x'.repeat(513)].map((audience) => ({ audience })),
    ...[null, 7, '', ['account']].map((scope) => ({ scope })),
    { resource: orders },
  ]) {
    const refused = { status: 400, body: { code: 'invalid_request' } }
    expect(await cardea.client.post('/refresh', { handle, body })).toMatchObject(refused)
  }
  clock.advance(60_000)
  expect((await cardea.client.refresh(handle)).status).toBe(200)
})

test('a session of a version that did not keep what the login named is for its audience alone', async () => {
  const { refreshToken } = await cardea.client.logIn(account)
  const id = Buffer.from(handleFields(refreshToken).sessionId, 'base64url')
  const forget = 'UPDATE sessions SET audiences = NULL WHERE id = $1'
  await sqlAs(cardea.stores.migrateUrl)(forget, [id])
  const ask = (audience: string) =>
    cardea.client.post('/refresh', { handle: refreshToken, body: { audience } })
  expect(await ask(orders)).toMatchObject({ status: 400, body: { code: 'invalid_target' } })
  expect((await ask(shop)).status).toBe(200)
})

test('R48: the statement and the rule agree on what a session may be asked for', async () => {
  const { sessions, rotations } = core().stores
  const named = [undefined, [], [shop], [shop, orders], [shop, issuer]] as const
  const asked: RequestedGrant[] = [undefined, shop, orders, issuer].flatMap((audience) =>
    [undefined, ['account'], ['admin'], ['account', 'admin'], []].map((scopes) => ({
      audience,
      scopes,
    })),
  )
  const { refreshToken } = await cardea.client.logIn(account)
  const { sessionId, secret } = handleFields(refreshToken)
  const id = Buffer.from(sessionId, 'base64url')
  const secretDigest = (await rowOf(refreshToken))?.['secret_digest'] as Buffer
  expect(secret).toHaveLength(32)
  for (const audiences of named) {
    for (const scope of ['account', 'account admin']) {
      const set = 'UPDATE sessions SET audience = $2, audiences = $3, scope = $4 WHERE id = $1'
      await sqlAs(cardea.stores.migrateUrl)(set, [id, shop, audiences, scope])
      for (const requested of asked) {
        const state = await sessions.find(sessionId, secretDigest)
        if (!state) throw new Error('no session')
        const nowMs = clock.nowMs()
        const presented = { generation: state.generation, delivery: 'cookie', requested } as const
        const rules = { graceMs: 10_000, lostResponse: 'resume' } as const
        const { kind } = decideRefresh(state, presented, nowMs, rules)
        const idleExpiresAtMs = nowMs + 1e6
        const rotation = { ...presented, sessionId, secretDigest, nowMs, idleExpiresAtMs }
        const isRotated = (await rotations.rotate(rotation)) !== undefined
        const what = JSON.stringify({ audiences, scope, requested })
        expect(kind, what).toBe(isRotated ? 'rotate' : 'not_granted')
      }
    }
  }
})
