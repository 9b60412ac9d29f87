import { Redis } from 'ioredis'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { startRedis } from '../support/servers/redis-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import { quickSession } from '../support/service/quick-session.ts'
import { headerOf, verifiedClaims } from '../support/service/verified-claims.ts'

let operator = ''
/** A session of the operator, for the access tokens that they need after theirs was revoked with its key. */
let handle: string

const redis = await startRedis()
const cardea = await startCardea({ redisUrl: redis.url, instances: 2 })
const account = await cardea.createAccount(['operator'])
const session = await quickSession(cardea, account.id, { roles: ['operator'] })
handle = session.refreshToken
afterAll(async () => {
  await cardea.stop()
  await redis.stop()
})

const renew = async () => {
  const { body, refreshCookie } = await cardea.client.refresh(handle)
  operator = body.access_token
  handle = refreshCookie ?? ''
}
await renew()

const revoke = (kid: string, more = {}) =>
  cardea.client.post('/admin/revoke', { token: operator, body: { kid, ...more } })

const publishedBy = async (index: number): Promise<string[]> => {
  const { body } = await cardea.clientOf(index).get('/.well-known/jwks.json')
  return body.keys.map(({ kid }: { kid: string }) => kid)
}

const logIn = async (index = 0) => {
  const { id } = await cardea.createAccount()
  const { refreshToken } = await quickSession(cardea, id)
  const answer = await cardea.clientOf(index).refresh(refreshToken)
  const accessToken: string = answer.body.access_token
  return { accessToken, kid: headerOf(accessToken).kid ?? '', handle: answer.refreshCookie ?? '' }
}

const statusOf = async (accessToken: string, index = 0) =>
  (await cardea.clientOf(index).get('/account', { token: accessToken })).status

describe('revoking the active signing key', () => {
  test('R79, R94: ends every token it signed, on every instance, and every session gets the next one by refreshing', async () => {
    const people = [await logIn(0), await logIn(1)]
    const kid = people[0]?.kid ?? ''
    expect(people.map((person) => person.kid)).toEqual([kid, kid])
    const answer = await revoke(kid)
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      seq: expect.any(Number),
      checked: true,
      committed_at: expect.any(String),
      effective_by: expect.any(String),
    })
    const { committed_at: committed, effective_by: effective } = answer.body
    expect(Date.parse(effective) - Date.parse(committed)).toBe(5_000)
    // The instance that did it knows it by then; the other one within the bound.
    expect(await publishedBy(0)).not.toContain(kid)
    for (const { accessToken } of people) {
      expect(await statusOf(accessToken)).toBe(401)
      await vi.waitFor(async () => expect(await statusOf(accessToken, 1)).toBe(401))
    }
    expect(await publishedBy(1)).not.toContain(kid)
    expect(await publishedBy(1)).toEqual(await publishedBy(0))
    for (const [index, person] of people.entries()) {
      const again = await cardea.clientOf(index).refresh(person.handle)
      expect(again.status).toBe(200)
      expect(headerOf(again.body.access_token).kid).not.toBe(kid)
      expect(await statusOf(again.body.access_token)).toBe(200)
      expect(await statusOf(again.body.access_token, 1)).toBe(200)
    }
    await renew()
  })

  test('R94: twice is fine: the key that signs by then goes on', async () => {
    const { kid } = await logIn()
    const first = await revoke(kid)
    await renew()
    const signing = headerOf(operator).kid
    const second = await revoke(kid)
    expect([first.status, second.status]).toEqual([200, 200])
    expect(second.body.seq).toBeGreaterThan(first.body.seq)
    expect((await logIn()).kid).toBe(signing)
    expect(await publishedBy(0)).toHaveLength(2)
  })

  test('R112: leaves one entry in the trail, with the operator, their words and what signs now', async () => {
    const trail = auditEntries(cardea.stores.migrateUrl)
    const { sub } = await verifiedClaims(cardea, operator)
    const { kid } = await logIn()
    await trail()
    await revoke(kid, { reason: 'found in a log' })
    await renew()
    const active = headerOf(operator).kid
    expect(await trail()).toMatchObject([
      {
        event: 'signing_key_revoked',
        outcome: 'success',
        reason: 'revoked',
        actor: `account:${sub}`,
        request_id: expect.any(String),
        details: { kid, was: 'active', active, note: 'found in a log' },
      },
    ])
  })

  test('is one entry of the log, which outlives every cached key set, and one in Redis', async () => {
    const { kid } = await logIn()
    const { seq } = (await revoke(kid)).body
    await renew()
    const query = `SELECT kind, key, min_epoch, extract(epoch FROM not_after - created_at)::integer AS seconds
                   FROM revocations WHERE seq = $1`
    const week = 7 * 24 * 3600
    expect(await sqlAs(cardea.stores.migrateUrl)(query, [seq])).toEqual([
      { kind: 'kid', key: kid, min_epoch: null, seconds: week },
    ])
    const client = new Redis(redis.url)
    await vi.waitFor(async () => {
      const leftMs = await client.pttl(`cardea:revoked:kid:${kid}`)
      expect(leftMs).toBeGreaterThan((week - 60) * 1000)
    })
    await client.quit()
  })
})

test('R94: a published key that does not sign yet is replaced, and tokens go on', async () => {
  const { accessToken, kid } = await logIn()
  const next = (await publishedBy(0)).find((published) => published !== kid) ?? ''
  expect((await revoke(next)).status).toBe(200)
  expect(await statusOf(accessToken)).toBe(200)
  const published = await publishedBy(0)
  expect(published).toHaveLength(2)
  expect(published).toContain(kid)
  expect(published).not.toContain(next)
})

test('an unknown kid is 404, what is no kid 400, and neither leaves a trace', async () => {
  const trail = auditEntries(cardea.stores.migrateUrl)
  await trail()
  const unknown = await revoke('A'.repeat(43))
  expect(unknown).toMatchObject({ status: 404, body: { code: 'signing_key_not_found' } })
  for (const kid of ['', 'A'.repeat(42), 'A'.repeat(44), '__proto__', `${'A'.repeat(42)}=`]) {
    expect((await revoke(kid)).status, kid).toBe(400)
  }
  expect((await revoke('A'.repeat(43), { everyone: true })).status).toBe(400)
  expect(await trail()).toEqual([])
})

test('R93: whoever is no operator revokes no key', async () => {
  const { accessToken, kid } = await logIn()
  const refused = await cardea.client.post('/admin/revoke', { token: accessToken, body: { kid } })
  expect(refused.status).toBe(403)
  expect((await cardea.client.post('/admin/revoke', { body: { kid } })).status).toBe(401)
  expect(await statusOf(accessToken)).toBe(200)
  expect(await publishedBy(0)).toContain(kid)
})
