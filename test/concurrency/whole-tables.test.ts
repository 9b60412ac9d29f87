import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import {
  type Cardea,
  startCardea,
  type TestAccount,
  testPassword,
} from '../support/service/cardea.ts'
import { handleFields } from '../support/service/handles.ts'
import { whenDisconnected } from '../support/service/when-disconnected.ts'

let database: FreshDatabase
let cardea: Cardea
let account: TestAccount
let operator: string

/** So many that reading them all is never the quickest way, whatever is believed of the other tables. Nothing analyses them here. */
const others = 5_000

const fillAccounts = `INSERT INTO accounts (id, email, email_canonical, status, roles, password_phc, created_at, updated_at)
  SELECT decode(md5('account' || n), 'hex'), n || '@example.com', n || '@example.com', 'active', '{}', 'none', now(), now()
  FROM generate_series(1, ${others}) n`

const fillSessions = `INSERT INTO sessions (id, account_id, kind, delivery, secret_digest, client_id, audience, scope, amr, acr, user_agent,
    address, authenticated_at, last_used_at, idle_expires_at, absolute_expires_at, created_at, global_epoch, account_epoch)
  SELECT decode(md5('session' || n), 'hex'), decode(md5('account' || n), 'hex'), 'token', 'cookie', $1, 'first-party', 'none', '', '{pwd}', 'aal1', '',
    '', now(), now(), now() + interval '1 day', now() + interval '1 day', now(), i.global_epoch, 0
  FROM generate_series(1, ${others}) n, instance i`

const secrets = ['the secret of a service whose tables are large']

beforeAll(async () => {
  database = await freshDatabase()
  const first = await startCardea({ database, secrets })
  account = await first.createAccount()
  operator = await first.operatorToken()
  await first.stop()
  const asOwner = sqlAs(database.ownerUrl)
  await asOwner(fillAccounts)
  await asOwner(fillSessions, [randomBytes(32)])
})
afterAll(() => database.drop())

/** How often a table was read from the first row to the last. */
const wholeReads = async (): Promise<Record<string, number>> => {
  await whenDisconnected(database.ownerUrl)
  const rows = await sqlAs(database.ownerUrl)<{ relname: string; seq_scan: string }>(
    `SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN ('accounts', 'sessions')`,
  )
  return Object.fromEntries(rows.map(({ relname, seq_scan: count }) => [relname, Number(count)]))
}

const expectOk = (status: number, path: string): void =>
  expect([200, 204], `${path}: ${status}`).toContain(status)

/** What people do all day, and what operators do about it. */
const useEverything = async (): Promise<void> => {
  const { client } = cardea
  const body = { email: account.email, password: testPassword }
  for (let round = 0; round < 5; round += 1) {
    const { accessToken: token, refreshToken } = await client.logIn(account)
    expectOk((await client.refresh(refreshToken)).status, '/refresh')
    expectOk(
      (await client.post('/login', { body: { ...body, session: 'sealed' } })).status,
      'sealed',
    )
    const session = await client.logInForCookie(account)
    for (const path of ['/session', '/forward-auth', '/account', '/sessions']) {
      expectOk((await client.get(path, { session })).status, path)
    }
    const headers = { 'if-match': '*' }
    const data = await client.send('PUT', '/session/data', { session, headers, body: { cart: 1 } })
    expectOk(data.status, '/session/data')
    const renewed = await client.post('/session/reauthenticate', {
      session,
      body: { password: testPassword },
    })
    expectOk(renewed.status, '/session/reauthenticate')
    expectOk((await client.post('/logout', { session })).status, '/logout')
    expect((await client.post('/login', { body: { ...body, password: 'wrong' } })).status).toBe(401)
    expectOk((await client.get('/account', { token })).status, '/account')
    const other = await client.logInForCookie(account)
    const { sessionId: sid } = handleFields(other)
    for (const target of [{ sid }, { sub: account.id }]) {
      const revoked = await client.post('/admin/revoke', { token: operator, body: target })
      expectOk(revoked.status, '/admin/revoke')
    }
    const found = await client.get(`/admin/accounts?email=${account.email}`, { token: operator })
    expectOk(found.status, '/admin/accounts')
  }
}

test('no act reads all accounts or all sessions, with tables that Postgres has never analysed', async () => {
  const before = await wholeReads()
  cardea = await startCardea({ database, secrets, config: { sessionsPerAccount: 3 } })
  try {
    await useEverything()
  } finally {
    await cardea.stop()
  }
  expect(await wholeReads()).toEqual(before)
})

/** Rows of accounts that were looked at, by an index or without one. */
const rowsRead = async (): Promise<number> => {
  await whenDisconnected(database.ownerUrl)
  const [row] = await sqlAs(database.ownerUrl)<{ count: string }>(
    `SELECT sum(idx_tup_read) + (SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'accounts') AS count
     FROM pg_stat_user_indexes WHERE relname = 'accounts'`,
  )
  return Number(row?.count)
}

test('an account is found by its address, and a page of accounts read, without a look at the others, whatever Postgres knows when it plans', async () => {
  const name = new URL(database.ownerUrl).pathname.slice(1)
  // One plan for all values, as after many calls; and a table so large that reading all of it is out of the question.
  for (const setting of ['plan_cache_mode = force_generic_plan', 'enable_seqscan = off']) {
    await sqlAs(database.ownerUrl)(`ALTER DATABASE ${name} SET ${setting}`)
  }
  // The last page: what comes before it is not read either.
  const last = Buffer.alloc(16, 0xf0).toString('base64url')
  const before = await rowsRead()
  cardea = await startCardea({ database, secrets })
  try {
    for (const query of [
      `?email=${account.email}`,
      '?email=nobody@example.com',
      `?after=${last}`,
    ]) {
      const found = await cardea.client.get(`/admin/accounts${query}`, { token: operator })
      expectOk(found.status, query)
    }
  } finally {
    await cardea.stop()
  }
  expect((await rowsRead()) - before).toBeLessThan(others / 10)
})
