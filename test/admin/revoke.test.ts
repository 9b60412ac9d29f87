import { Redis } from 'ioredis'
import { afterAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { postgresRevocationPurge } from '../../src/revocation/index.ts'
import { pastClock } from '../support/clocks/fake-clock.ts'
import { startRedis } from '../support/servers/redis-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { LoggedIn } from '../support/service/client.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'

const clock = pastClock()
const redis = await startRedis()
const cardea = await startCardea({ clock, redisUrl: redis.url })
afterAll(async () => {
  await cardea.stop()
  await redis.stop()
})

const revoke = async (body: unknown, service = cardea) =>
  service.client.post('/admin/revoke', { token: await service.operatorToken(), body })

const isAccepted = async ({ accessToken }: LoggedIn, service = cardea): Promise<boolean> =>
  (await service.client.get('/account', { token: accessToken })).status === 200

const refresh = async ({ refreshToken }: LoggedIn, service = cardea) => {
  const { status, body, refreshCookie } = await service.client.refresh(refreshToken)
  return { status, reason: body.reason, refreshCookie }
}

const signedOut = { status: 401, reason: 'revoked', refreshCookie: '' }

const twoDevices = async () => {
  const account = await cardea.createAccount()
  const devices = [await cardea.client.logIn(account), await cardea.client.logIn(account)] as const
  return { account, devices }
}

const expectWorks = async (account: TestAccount, service = cardea) => {
  const again = await service.client.logIn(account)
  expect(await isAccepted(again, service)).toBe(true)
  expect((await refresh(again, service)).status).toBe(200)
}

describe('revoking an account', () => {
  test.each([
    ['R94: by id', ({ id }: TestAccount) => ({ sub: id })],
    [
      'R94: by address, in any spelling',
      ({ email }: TestAccount) => ({ email: email.toUpperCase() }),
    ],
  ])(
    '%s ends all of its sessions and tokens, and asks for a new login',
    async (_name, targetOf) => {
      const { account, devices } = await twoDevices()
      const other = await twoDevices()
      expect((await revoke(targetOf(account))).status).toBe(200)
      for (const device of devices) {
        expect(await isAccepted(device)).toBe(false)
        expect(await refresh(device)).toEqual(signedOut)
      }
      expect(await isAccepted(other.devices[0])).toBe(true)
      await expectWorks(account)
    },
  )
})

test('R94: revoking a session ends that one only', async () => {
  const { devices } = await twoDevices()
  expect((await revoke({ sid: devices[0].body.session_id })).status).toBe(200)
  expect(await isAccepted(devices[0])).toBe(false)
  expect(await refresh(devices[0])).toEqual(signedOut)
  expect(await isAccepted(devices[1])).toBe(true)
  expect((await refresh(devices[1])).status).toBe(200)
})

test('R94: revoking a token ends that one only: its session gives the next', async () => {
  const { devices } = await twoDevices()
  const { jti } = await verifiedClaims(cardea, devices[0].accessToken, { clock })
  expect((await revoke({ jti })).status).toBe(200)
  expect(await isAccepted(devices[0])).toBe(false)
  const next = await cardea.client.refresh(devices[0].refreshToken)
  expect((await cardea.client.get('/account', { token: next.body.access_token })).status).toBe(200)
})

test('R94: revoking everyone ends every session and token there is, the operator included, in one entry', async () => {
  const own = await startCardea({ clock })
  onTestFinished(() => own.stop())
  const accounts = [await own.createAccount(), await own.createAccount()]
  const devices: LoggedIn[] = []
  for (const account of accounts) devices.push(await own.client.logIn(account))
  const token = await own.operatorToken()
  const answer = await own.client.post('/admin/revoke', { token, body: { everyone: true } })
  expect(answer.status).toBe(200)
  for (const device of devices) {
    expect(await isAccepted(device, own)).toBe(false)
    expect(await refresh(device, own)).toEqual(signedOut)
  }
  expect((await own.client.get('/admin/accounts', { token })).status).toBe(401)
  const rows = await sqlAs(own.stores.migrateUrl)('SELECT kind, key FROM revocations')
  expect(rows).toEqual([{ kind: 'everyone', key: '' }])
  for (const account of accounts) await expectWorks(account, own)
})

test('R94: the answer says where in the log it stands and from when on it holds everywhere; asking twice is fine', async () => {
  const { account } = await twoDevices()
  const first = await revoke({ sub: account.id })
  const time = (ms: number) => new Date(ms).toISOString()
  expect(first.body).toEqual({
    seq: expect.any(Number),
    committed_at: time(clock.nowMs()),
    effective_by: time(clock.nowMs() + 5_000),
    checked: true,
  })
  const second = await revoke({ sub: account.id })
  expect(second.status).toBe(200)
  expect(second.body.seq).toBeGreaterThan(first.body.seq)
  const sid = (await twoDevices()).devices[0].body.session_id
  for (let turn = 0; turn < 2; turn += 1) expect((await revoke({ sid })).status).toBe(200)
  await expectWorks(account)
})

describe('what does not exist', () => {
  test('R94: a session of which there is no row is 404, and nothing is recorded', async () => {
    const entries = async () =>
      sqlAs(cardea.stores.migrateUrl)('SELECT kind, key FROM revocations ORDER BY seq')
    const trail = auditEntries(cardea.stores.migrateUrl)
    const token = await cardea.operatorToken()
    await trail()
    const before = await entries()
    const body = { sid: newId(systemRandom) }
    const refused = await cardea.client.post('/admin/revoke', { token, body })
    expect(refused).toMatchObject({ status: 404, body: { code: 'session_not_found' } })
    expect(refused.body.detail).toContain('jti')
    expect(await entries()).toEqual(before)
    expect(await trail()).toEqual([])
  })

  test('R94: a session that has ended or expired still has a row, and is revoked: its tokens may be out', async () => {
    const { devices } = await twoDevices()
    const sid: string = devices[0].body.session_id
    await cardea.client.post('/logout', { handle: devices[0].refreshToken })
    expect(await revoke({ sid })).toMatchObject({ status: 200, body: { checked: true } })
    const expire = `UPDATE sessions SET idle_expires_at = 'epoch', absolute_expires_at = 'epoch' WHERE id = $1`
    const expired: string = devices[1].body.session_id
    await sqlAs(cardea.stores.migrateUrl)(expire, [Buffer.from(expired, 'base64url')])
    expect((await revoke({ sid: expired })).status).toBe(200)
  })

  test('R94: the id of a token is recorded, and the response says that nobody could look whether it exists', async () => {
    const jti = newId(systemRandom)
    expect(await revoke({ jti })).toMatchObject({ status: 200, body: { checked: false } })
    const query = "SELECT FROM revocations WHERE kind = 'jti' AND key = $1"
    expect(await sqlAs(cardea.stores.migrateUrl)(query, [jti])).toHaveLength(1)
  })

  test('R94: whoever shows a token to be revoked is answered as RFC 7009 says, whether or not it ever was one', async () => {
    const form = { headers: { 'content-type': 'application/x-www-form-urlencoded' } }
    for (const token of [newId(systemRandom), 'a.b.c', 'x']) {
      const answer = await cardea.client.post('/oauth/revoke', { ...form, body: `token=${token}` })
      expect([answer.status, answer.text]).toEqual([200, '{}'])
    }
  })
})

test('R112: each revocation leaves one entry with the operator and their words', async () => {
  const { account, devices } = await twoDevices()
  const token = await cardea.operatorToken()
  const { sub } = await verifiedClaims(cardea, token, { clock })
  const trail = auditEntries(cardea.stores.migrateUrl)
  await trail()
  const bodies = [
    { jti: newId(systemRandom), reason: 'a laptop was stolen' },
    { sid: devices[0].body.session_id },
    { sub: account.id },
  ]
  for (const body of bodies) await cardea.client.post('/admin/revoke', { token, body })
  const common = { outcome: 'success', reason: 'revoked', actor: `account:${sub}` }
  expect(await trail()).toMatchObject([
    { ...common, event: 'token_revoked', details: { note: 'a laptop was stolen' } },
    { ...common, event: 'session_ended', account: account.id, details: {} },
    { ...common, event: 'account_revoked', account: account.id },
  ])
})

test('exactly one target has to be named, in its right form; an unknown account is 404', async () => {
  const id = newId(systemRandom)
  const bad = [
    {},
    { sub: id, sid: id },
    { sub: 'x' },
    { everyone: false },
    { everyone: 'true' },
    { kid: id },
    { sub: null },
    { jti: id, reason: '' },
    { email: 'nothing' },
  ]
  for (const body of bad) expect((await revoke(body)).status, JSON.stringify(body)).toBe(400)
  for (const body of [{ sub: id }, { email: 'nobody@example.com' }]) {
    expect(await revoke(body)).toMatchObject({ status: 404, body: { code: 'account_not_found' } })
  }
})

test('R77: a login one millisecond after "log out this user" works, and nothing from before does', async () => {
  const { account, devices } = await twoDevices()
  await revoke({ sub: account.id })
  clock.advance(1)
  const after = await cardea.client.logIn(account)
  // In the same second: a comparison of `iat` could not tell them apart.
  const iat = async ({ accessToken }: LoggedIn) =>
    (await verifiedClaims(cardea, accessToken, { clock })).iat
  expect((await iat(after)) ?? 0).toBeLessThanOrEqual(((await iat(devices[0])) ?? 0) + 1)
  expect(await isAccepted(after)).toBe(true)
  expect((await refresh(after)).status).toBe(200)
  for (const device of devices) expect(await isAccepted(device)).toBe(false)
})

test('R77: the epoch revokes a token even where its session still looks alive', async () => {
  const { account, devices } = await twoDevices()
  await revoke({ sub: account.id })
  const revive = 'UPDATE sessions SET ended_at = NULL, end_reason = NULL WHERE account_id = $1'
  await sqlAs(cardea.stores.migrateUrl)(revive, [Buffer.from(account.id, 'base64url')])
  expect(await isAccepted(devices[0])).toBe(false)
  expect(await refresh(devices[0])).toEqual(signedOut)
})

test('R70: with Redis away a revocation is answered, committed and holds', async () => {
  const lonely = await startRedis()
  const own = await startCardea({ redisUrl: lonely.url })
  onTestFinished(async () => {
    await own.stop()
    await lonely.stop()
  })
  const account = await own.createAccount()
  const device = await own.client.logIn(account)
  const token = await own.operatorToken()
  await lonely.kill()
  const answer = await own.client.post('/admin/revoke', { token, body: { sub: account.id } })
  expect(answer.status).toBe(200)
  const query = 'SELECT kind, key FROM revocations WHERE seq = $1'
  const rows = await sqlAs(own.stores.migrateUrl)(query, [answer.body.seq])
  expect(rows).toEqual([{ kind: 'sub', key: account.id }])
  expect(await isAccepted(device, own)).toBe(false)
  expect(await refresh(device, own)).toEqual(signedOut)
  await expectWorks(account, own)
})

describe('an entry', () => {
  const keptMs = 970_000

  test('R78: is kept for 970 seconds in the log and in Redis, and dropped from both', async () => {
    const client = new Redis(redis.url)
    const { account, devices } = await twoDevices()
    const { jti } = await verifiedClaims(cardea, devices[0].accessToken, { clock })
    const sid = devices[0].body.session_id
    for (const body of [{ jti }, { sid }, { sub: account.id }]) await revoke(body)
    for (const key of [`jti:${jti}`, `sid:${sid}`, `sub:${account.id}`]) {
      // Spread at once, or by the follower when Redis was slow for a moment.
      await vi.waitFor(async () => {
        const leftMs = await client.pttl(`cardea:revoked:${key}`)
        expect(leftMs, key).toBeLessThanOrEqual(keptMs)
        expect(leftMs, key).toBeGreaterThan(keptMs - 60_000)
      })
    }
    await client.quit()

    const asOwner = sqlAs(cardea.stores.migrateUrl)
    const kept = async () => {
      const query = 'SELECT count(*)::integer AS entries FROM revocations'
      return (await asOwner<{ entries: number }>(query))[0]?.entries
    }
    const life =
      'SELECT DISTINCT extract(epoch FROM not_after - created_at)::integer AS s FROM revocations'
    expect(await asOwner(life)).toEqual([{ s: 970 }])
    const [core] = cardea.instances.map((instance) => instance.core)
    const purge = core && postgresRevocationPurge(core.database)
    const before = await kept()
    clock.advance(keptMs)
    const dropped = (await purge?.dropEnded(clock.nowMs(), 1_000)) ?? 0
    // At the very millisecond it still stands.
    expect(await kept()).toBe((before ?? 0) - dropped)
    expect(await asOwner('SELECT FROM revocations WHERE key = $1', [account.id])).toHaveLength(1)
    clock.advance(1)
    await purge?.dropEnded(clock.nowMs(), 1_000)
    expect(await kept()).toBe(0)
    // What it covered has expired by then: nothing comes back.
    for (const device of devices) expect(await isAccepted(device)).toBe(false)
  })
})
