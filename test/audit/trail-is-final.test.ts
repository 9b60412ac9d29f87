import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { dumpOf, sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { type Cardea, startCardea, testPassword } from '../support/service/cardea.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'

const clock = fakeClock()
const cardea = await startCardea({ clock, redisUrl: null })
const asOwner = sqlAs(cardea.stores.migrateUrl)
const asApp = sqlAs(cardea.stores.databaseUrl)
await cardea.client.logIn(await cardea.createAccount())
afterAll(() => cardea.stop())

const changes = [
  "UPDATE audit_events SET outcome = 'success'",
  'DELETE FROM audit_events',
  'TRUNCATE audit_events',
  'DELETE FROM audit_events WHERE false',
]

test.each(changes)('R115: the role of the application cannot: %s', async (statement) => {
  await expect(asApp(statement)).rejects.toThrow('permission denied')
})

test.each(changes)('R115: nor can the owner of the table: %s', async (statement) => {
  const before = await asOwner('SELECT * FROM audit_events ORDER BY id')
  expect(before.length).toBeGreaterThan(0)
  await expect(asOwner(statement)).rejects.toThrow('audit events are never changed')
  expect(await asOwner('SELECT * FROM audit_events ORDER BY id')).toEqual(before)
})

describe('the role of the application', () => {
  test('R129: owns nothing', async () => {
    const owned = `SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) = current_user
      UNION ALL SELECT nspname FROM pg_namespace WHERE pg_get_userbyid(nspowner) = current_user
      UNION ALL SELECT proname FROM pg_proc WHERE pg_get_userbyid(proowner) = current_user
      UNION ALL SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = current_user`
    expect(await asApp(owned)).toEqual([])
  })

  test.each([
    'CREATE TABLE mine (id integer)',
    'CREATE SCHEMA mine',
    'ALTER TABLE audit_events DISABLE TRIGGER ALL',
    'DROP TRIGGER audit_events_are_final ON audit_events',
    'ALTER TABLE accounts ADD COLUMN mine text',
    'DROP TABLE sessions',
    'CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$',
    'UPDATE revocations SET not_after = now()',
    'DELETE FROM accounts',
    'DELETE FROM signing_keys',
    'TRUNCATE sessions',
    'INSERT INTO instance (global_epoch) VALUES (1)',
    'INSERT INTO schema_migrations SELECT * FROM schema_migrations',
    'SET ROLE postgres',
    'CREATE ROLE mine',
  ])('R129: cannot: %s', async (statement) => {
    await expect(asApp(statement)).rejects.toThrow(/permission denied|must be owner|does not exist/)
  })

  test('R129: is no superuser and can grant itself nothing', async () => {
    const query = `SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
      FROM pg_roles WHERE rolname = current_user`
    expect(await asApp(query)).toEqual([
      {
        rolsuper: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
        rolbypassrls: false,
      },
    ])
  })
})

describe('while nothing can be recorded', () => {
  beforeEach(async () => {
    await asOwner(`CREATE FUNCTION refuse_entries() RETURNS trigger LANGUAGE plpgsql AS
      $$BEGIN RAISE EXCEPTION 'the trail is full'; END$$`)
    await asOwner(`CREATE TRIGGER refuse_entries BEFORE INSERT ON audit_events
      FOR EACH ROW EXECUTE FUNCTION refuse_entries()`)
    return async () => {
      await asOwner('DROP FUNCTION IF EXISTS refuse_entries CASCADE')
    }
  })

  const recordAgain = () => asOwner('DROP TRIGGER IF EXISTS refuse_entries ON audit_events')

  /** Runs a preparation for which recording has to work. */
  const prepared = async <T>(work: () => Promise<T>): Promise<T> => {
    await asOwner('ALTER TABLE audit_events DISABLE TRIGGER refuse_entries')
    const result = await work()
    await asOwner('ALTER TABLE audit_events ENABLE TRIGGER refuse_entries')
    return result
  }

  type Prepared = {
    readonly token: string
    readonly id: string
    readonly email: string
    readonly handle: string
    readonly own: string
    readonly sid: string
  }

  const prepare = async (): Promise<Prepared> => {
    const account = await cardea.createAccount()
    const loggedIn = await cardea.client.logIn(account)
    return {
      token: await cardea.operatorToken(),
      id: account.id,
      email: account.email,
      handle: loggedIn.refreshToken,
      own: loggedIn.accessToken,
      sid: loggedIn.body.session_id,
    }
  }

  const { send, post } = {
    send: (...args: Parameters<Cardea['client']['send']>) => cardea.client.send(...args),
    post: (...args: Parameters<Cardea['client']['post']>) => cardea.client.post(...args),
  }

  const acts: readonly (readonly [string, (on: Prepared) => ReturnType<typeof send>])[] = [
    ['a login', ({ email }) => post('/login', { body: { email, password: testPassword } })],
    [
      'a failed login',
      ({ email }) => post('/login', { body: { email, password: 'wrong wrong wrong' } }),
    ],
    ['a logout by cookie', ({ handle }) => post('/logout', { handle })],
    ['a logout by token', ({ own }) => post('/logout', { token: own })],
    ['ending one session', ({ own, sid }) => send('DELETE', `/sessions/${sid}`, { token: own })],
    ['ending all sessions', ({ own }) => send('DELETE', '/sessions', { token: own })],
    [
      'adding an account',
      ({ token }) =>
        post('/admin/accounts', {
          token,
          body: { email: 'unrecorded@example.com', password: testPassword },
        }),
    ],
    [
      'disabling an account',
      ({ token, id }) =>
        send('PATCH', `/admin/accounts/${id}`, { token, body: { status: 'disabled' } }),
    ],
    [
      'changing roles',
      ({ token, id }) => send('PATCH', `/admin/accounts/${id}`, { token, body: { roles: ['x'] } }),
    ],
    ['revoking an account', ({ token, id }) => post('/admin/revoke', { token, body: { sub: id } })],
    ['revoking a session', ({ token, sid }) => post('/admin/revoke', { token, body: { sid } })],
    [
      'revoking everyone',
      ({ token }) => post('/admin/revoke', { token, body: { everyone: true } }),
    ],
    ['looking at accounts', ({ token }) => cardea.client.get('/admin/accounts', { token })],
  ]

  test.each(acts)('R112, R115: %s does not happen', async (_name, act) => {
    const on = await prepared(prepare)
    const before = await dumpOf(cardea.stores.migrateUrl)
    const answer = await act(on)
    expect(answer).toMatchObject({ status: 500, body: { code: 'internal_error' } })
    expect(answer.headers.getSetCookie()).toEqual([])
    expect(answer.text).not.toContain('the trail is full')
    expect(await dumpOf(cardea.stores.migrateUrl)).toBe(before)
    // The same act goes through once it can be recorded.
    await recordAgain()
    expect((await act(on)).status).not.toBe(500)
  })

  test('R112, R115: a reused refresh token does not end its session half', async () => {
    const { handle, own } = await prepared(prepare)
    const second = await cardea.client.refresh(handle)
    await cardea.client.refresh(second.refreshCookie ?? '')
    const before = await dumpOf(cardea.stores.migrateUrl)
    expect(await cardea.client.refresh(handle)).toMatchObject({
      status: 500,
      refreshCookie: undefined,
    })
    expect(await dumpOf(cardea.stores.migrateUrl)).toBe(before)
    await recordAgain()
    const trail = auditEntries(cardea.stores.migrateUrl)
    await trail()
    expect((await cardea.client.refresh(handle)).body.reason).toBe('token_reuse')
    expect(await trail()).toMatchObject([{ event: 'token_reuse' }])
    expect((await verifiedClaims(cardea, own, { clock })).sid).toBeDefined()
    expect((await cardea.client.get('/account', { token: own })).status).toBe(401)
  })
})
