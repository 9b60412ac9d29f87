import { afterAll, beforeAll, expect, test } from 'vitest'
import { keyLabels } from '../../src/keys/index.ts'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { sqlAs } from '../support/servers/sql.ts'
import {
  type Cardea,
  startCardea,
  type TestAccount,
  testPassword,
} from '../support/service/cardea.ts'
import { codecOf, handleFields } from '../support/service/handles.ts'

let clock: FakeClock
let cardea: Cardea

beforeAll(async () => {
  clock = fakeClock()
  cardea = await startCardea({ clock })
})
afterAll(() => cardea.stop())

type Ended = { readonly account: TestAccount; readonly session: string }

const logIn = async (): Promise<Ended> => {
  const account = await cardea.createAccount()
  return { account, session: await cardea.client.logInForCookie(account) }
}

const refusal = async (session: string, path = '/session') => {
  const { status, body, sessionCookie } = await cardea.client.get(path, { session })
  return { status, code: body.code, reason: body.reason, sessionCookie }
}

const ended = (reason: string | undefined) => ({
  status: 401,
  code: 'invalid_session',
  reason,
  sessionCookie: undefined,
})

const operate = async (method: string, path: string, body: unknown): Promise<void> => {
  const token = await cardea.operatorToken()
  expect((await cardea.client.send(method, path, { token, body })).status).toBe(200)
}

const logInAnewWith = async ({ account, session }: Ended): Promise<void> => {
  await cardea.client.logInForCookie(account, { session })
}

const ends: Record<string, (one: Ended) => Promise<unknown>> = {
  logout: ({ session }) => cardea.client.post('/logout', { session }),
  revoked: ({ account }) => operate('POST', '/admin/revoke', { sub: account.id }),
  account_disabled: ({ account }) =>
    operate('PATCH', `/admin/accounts/${account.id}`, { status: 'disabled' }),
  replaced: logInAnewWith,
  idle_expired: async () => clock.advance(cardea.config.sessionIdleSeconds * 1000),
  absolute_expired: async () => clock.advance(cardea.config.sessionAbsoluteSeconds * 1000),
}

test.each(Object.keys(ends))(
  'a session cookie is told that its session ended: %s',
  async (reason) => {
    const one = await logIn()
    await ends[reason]?.(one)
    expect(await refusal(one.session)).toEqual(ended(reason))
    expect(await refusal(one.session, '/account')).toEqual(ended(reason))
  },
)

test('everything revoked is told as well, and an account that was disabled in the database', async () => {
  const one = await logIn()
  await operate('POST', '/admin/revoke', { everyone: true })
  expect(await refusal(one.session)).toEqual(ended('revoked'))
  const other = await logIn()
  const disable = "UPDATE accounts SET status = 'disabled' WHERE email = $1"
  await sqlAs(cardea.stores.migrateUrl)(disable, [other.account.email])
  expect(await refusal(other.session)).toEqual(ended('account_disabled'))
})

test('the cookie of before a used step-up is told nothing while the session goes on, and the end after it', async () => {
  const { session } = await logIn()
  const body = { password: testPassword }
  const { sessionCookie } = await cardea.client.post('/session/reauthenticate', { session, body })
  const next = { session: sessionCookie ?? '' }
  expect((await cardea.client.get('/session', next)).status).toBe(200)
  expect(await refusal(session)).toEqual(ended(undefined))
  await cardea.client.post('/logout', next)
  expect(await refusal(session)).toEqual(ended('logout'))
})

test('a cookie without the secret of the session is told nothing', async () => {
  const { session } = await logIn()
  await cardea.client.post('/logout', { session })
  const codec = codecOf(cardea.stores.secrets, keyLabels.sessionHandle)
  const forged = codec.write({ ...handleFields(session), secret: Buffer.alloc(32) })
  expect(await refusal(forged)).toEqual(ended(undefined))
  expect(await refusal('made-up')).toEqual(ended(undefined))
})
