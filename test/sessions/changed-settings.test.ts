import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Config } from '../../src/config/index.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { handleFields } from '../support/service/handles.ts'
import { postForm } from '../support/service/service-client.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'

const shop = 'https://shop.example.com'
const orders = 'https://orders.example.com'
const daySeconds = 24 * 3600

let account: TestAccount

const start = (config: Partial<Config>, instances = 1): Promise<Cardea> =>
  startCardea({ clock, database, redisUrl: null, instances, config })

/** For one test. */
const startHere = async (config: Partial<Config>): Promise<Cardea> => {
  const service = await start(config)
  onTestFinished(() => service.stop())
  return service
}

const clock = fakeClock()
const database = await freshDatabase({ isMigrated: true })
const asOwner = sqlAs(database.ownerUrl)
const trail = auditEntries(database.ownerUrl)
/** The same deployment with the settings of yesterday and, restarted, with those of today; and with another default beside that of yesterday. */
const before = await start({ audiences: [shop] })
const after = await start({ audiences: [orders] }, 2)
const both = await start({ audiences: [orders, shop] })
afterAll(async () => {
  for (const service of [before, after, both]) await service.stop()
  await database.drop()
})
beforeEach(async () => {
  account = await before.createAccount()
  await trail()
})

const claimsOf = (token: string, audience: string) =>
  verifiedClaims(after, token, { audience, clock })

const byOauth = (refreshToken: string): Promise<Answer> =>
  postForm(after.client, '/oauth/token', undefined, {
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
  })

const idOf = (handle: string) => Buffer.from(handleFields(handle).sessionId, 'base64url')

describe('a session whose audience is no longer among AUDIENCE', () => {
  const removed = { status: 401, body: { code: 'session_ended', reason: 'audience_removed' } }

  test('R48: and whose login named none, moves to the default of today with nothing else changed', async () => {
    const { accessToken, refreshToken } = await before.client.logIn(account)
    const old = await claimsOf(accessToken, shop)
    const answer = await after.client.refresh(refreshToken)
    expect(answer.status).toBe(200)
    const claims = await claimsOf(answer.body.access_token, orders)
    for (const claim of ['sid', 'sub', 'client_id', 'auth_time', 'acr', 'amr', 'aep', 'scope']) {
      expect(claims[claim], claim).toEqual(old[claim])
    }
    // And by the other route, and for a native app.
    const native = await before.client.logIn(account, { delivery: 'body' })
    const next = await byOauth(native.refreshToken)
    await claimsOf(next.body.access_token, orders)
    expect(await trail()).not.toContainEqual(expect.objectContaining({ event: 'session_ended' }))
  })

  test('R48: gets no wider scope by moving: an operator logs in again to operate', async () => {
    const issuerOnly = await startHere({})
    const { refreshToken } = await before.client.logIn(await before.createAccount(['operator']))
    const answer = await issuerOnly.client.refresh(refreshToken)
    const claims = await verifiedClaims(issuerOnly, answer.body.access_token, { clock })
    expect(claims.scope).toBe('account')
  })

  test('moves to the default of today as a sealed session, too', async () => {
    const sealed = await before.client.logIn(account, { session: 'sealed' })
    const answer = await after.client.refresh(sealed.refreshToken)
    expect(answer.status).toBe(200)
    expect(answer.headers.getSetCookie().join()).toContain('__Host-cardea-sealed=')
  })

  test('and whose login named it, ends with a reason of its own, in the response, the trail and the log of revocations', async () => {
    const { refreshToken, body } = await before.client.logIn(account, { audience: shop })
    await trail()
    const answer = await after.client.refresh(refreshToken)
    expect(answer).toMatchObject({ ...removed, refreshCookie: '' })
    expect(await trail()).toMatchObject([
      { event: 'session_ended', reason: 'audience_removed', actor: 'system', account: account.id },
    ])
    const text = 'SELECT kind, reason FROM revocations WHERE key = $1'
    expect(await asOwner(text, [body.session_id])).toEqual([
      { kind: 'sid', reason: 'audience_removed' },
    ])
    // The reason stays, with the settings of before as well.
    expect(await before.client.refresh(refreshToken)).toMatchObject(removed)
    expect(await trail()).toEqual([])
  })

  test('and whose login named it, is invalid_grant in the words of OAuth', async () => {
    const native = await before.client.logIn(account, { audience: shop, delivery: 'body' })
    const answer = await byOauth(native.refreshToken)
    expect(answer).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
    expect(await after.client.refreshByBody(native.refreshToken)).toMatchObject(removed)
  })

  test('ends once, however many refreshes over two processes find out at the same time', async () => {
    const { refreshToken } = await before.client.logIn(account, { audience: shop })
    await trail()
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, turn) => after.clientOf(turn % 2).refresh(refreshToken)),
    )
    for (const answer of answers) expect(answer).toMatchObject(removed)
    expect((await trail()).map(({ event }) => event)).toEqual(['session_ended'])
  })

  test('goes on for the others that its login named', async () => {
    const named = { audience: [shop, orders] }
    const { accessToken, refreshToken } = await both.client.logIn(account, named)
    await claimsOf(accessToken, shop)
    const answer = await after.client.refresh(refreshToken)
    await claimsOf(answer.body.access_token, orders)
  })

  test('ends if it is of a version that did not keep what the login named', async () => {
    const { refreshToken } = await before.client.logIn(account)
    await asOwner('UPDATE sessions SET audiences = NULL WHERE id = $1', [idOf(refreshToken)])
    expect(await after.client.refresh(refreshToken)).toMatchObject(removed)
  })

  test('R46: keeps its handle when its end cannot be recorded, and ends at the next try', async () => {
    const { refreshToken } = await before.client.logIn(account, { audience: shop })
    // The end waits for this row, and is given up.
    const impatient = await startHere({ audiences: [orders], databaseStatementTimeoutMs: 300 })
    const locked = 'refuse_ends'
    onTestFinished(async () => void (await asOwner(`DROP FUNCTION IF EXISTS ${locked} CASCADE`)))
    await asOwner(`CREATE FUNCTION ${locked}() RETURNS trigger LANGUAGE plpgsql
      AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$`)
    await asOwner(`CREATE TRIGGER ${locked} BEFORE UPDATE OF ended_at ON sessions
      FOR EACH ROW EXECUTE FUNCTION ${locked}()`)
    expect((await impatient.client.refresh(refreshToken)).status).toBe(503)
    await asOwner(`DROP FUNCTION ${locked} CASCADE`)
    expect(await impatient.client.refresh(refreshToken)).toMatchObject(removed)
  })

  test('or is not the default any more: a login that named it keeps it, one that named none has the default of today', async () => {
    const named = await before.client.logIn(account, { audience: shop })
    const kept = await both.client.refresh(named.refreshToken)
    await claimsOf(kept.body.access_token, shop)
    const unnamed = await before.client.logIn(account)
    const moved = await both.client.refresh(unnamed.refreshToken)
    await claimsOf(moved.body.access_token, orders)
    // It is the token of a login that names none: it opens the account.
    const { access_token: token } = moved.body
    expect((await both.client.get('/account', { token })).status).toBe(200)
  })
})

describe('other facts of a session', () => {
  test('R47: a shorter SESSION_ABSOLUTE_DAYS holds for sessions that are open, and a longer one prolongs none', async () => {
    const shorter = await startHere({ sessionAbsoluteSeconds: 2 * daySeconds })
    const longer = await startHere({ sessionAbsoluteSeconds: 60 * daySeconds })
    const log = () => before.client.logIn(account)
    const [one, other] = [(await log()).refreshToken, (await log()).refreshToken]
    const cookie = await before.client.logInForCookie(account)
    clock.advance(2 * daySeconds * 1000 - 1)
    expect((await shorter.client.get('/session', { session: cookie })).status).toBe(200)
    clock.advance(1)
    await trail()
    const expired = { status: 401, body: { reason: 'absolute_expired' } }
    expect(await shorter.client.refresh(one)).toMatchObject({ ...expired, refreshCookie: '' })
    expect(await trail()).toMatchObject([
      { event: 'session_ended', reason: 'absolute_expired', account: account.id },
    ])
    expect(await shorter.client.get('/session', { session: cookie })).toMatchObject(expired)
    let handle = other
    for (let day = 2; day < 30; day += 4) {
      const answer = await longer.client.refresh(handle)
      expect(answer.status).toBe(200)
      handle = answer.refreshCookie ?? ''
      clock.advance(4 * daySeconds * 1000)
    }
    expect(await longer.client.refresh(handle)).toMatchObject(expired)
  })

  test('a scope that this version does not know is in no token', async () => {
    const operator = await before.createAccount(['operator'])
    const { refreshToken } = await before.client.logIn(operator)
    const set = `UPDATE sessions SET scope = 'account root' WHERE id = $1`
    await asOwner(set, [idOf(refreshToken)])
    const { body } = await before.client.refresh(refreshToken)
    expect((await claimsOf(body.access_token, shop)).scope).toBe('account')
  })

  test('a reason that only a later version knows is an end like others', async () => {
    const { refreshToken } = await before.client.logIn(account)
    const end = `UPDATE sessions SET ended_at = now(), end_reason = 'of_tomorrow' WHERE id = $1`
    await asOwner(end, [idOf(refreshToken)])
    expect(await before.client.refresh(refreshToken)).toMatchObject({
      status: 401,
      body: { code: 'session_ended', reason: 'revoked' },
    })
  })
})
