import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId } from '../../src/lib/id.ts'
import { systemRandom } from '../../src/lib/random.ts'
import { auditEntries } from '../support/audit-entries.ts'
import { type Cardea, startCardea } from '../support/cardea.ts'
import { sqlAs } from '../support/sql.ts'
import { verifiedClaims } from '../support/verified-claims.ts'
import { whenRefused } from '../support/when-refused.ts'

let cardea: Cardea
let token: string

beforeAll(async () => {
  cardea = await startCardea()
  token = await cardea.operatorToken()
})
afterAll(() => cardea.stop())

const change = (id: string, body: unknown) =>
  cardea.client.send('PATCH', `/admin/accounts/${id}`, { token, body })

const statusOf = async (accessToken: string) =>
  (await cardea.client.get('/account', { token: accessToken })).status

const revocationsOf = (key: string) =>
  sqlAs(cardea.stores.migrateUrl)<{ kind: string; min_epoch: string; reason: string }>(
    'SELECT kind, min_epoch, reason FROM revocations WHERE key = $1 ORDER BY seq',
    [key],
  )

test('R55: disabling an account ends its sessions on every device, its access tokens and its log-ins, at once', async () => {
  const account = await cardea.createAccount()
  const browser = await cardea.client.logIn(account)
  const phone = await cardea.client.logIn(account, { delivery: 'body' })
  const answer = await change(account.id, { status: 'disabled' })
  expect(answer).toMatchObject({ status: 200, body: { id: account.id, status: 'disabled' } })
  for (const { accessToken } of [browser, phone]) expect(await statusOf(accessToken)).toBe(401)
  const refused = { code: 'session_ended', reason: 'account_disabled' }
  const { client } = cardea
  expect((await client.refresh(browser.refreshToken)).body).toMatchObject(refused)
  expect((await client.refreshByBody(phone.refreshToken)).body).toMatchObject(refused)
  const again = await client.post('/login', {
    body: { email: account.email, password: account.password },
  })
  expect(again).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
  const revocations = await revocationsOf(account.id)
  expect(revocations).toEqual([{ kind: 'sub', min_epoch: '1', reason: 'account_disabled' }])
})

test('R55: an account that is enabled again starts anew: nothing from before comes back', async () => {
  const account = await cardea.createAccount()
  const before = await cardea.client.logIn(account)
  await change(account.id, { status: 'disabled' })
  expect((await change(account.id, { status: 'active' })).body.status).toBe('active')
  expect(await statusOf(before.accessToken)).toBe(401)
  expect((await cardea.client.refresh(before.refreshToken)).status).toBe(401)
  const after = await cardea.client.logIn(account)
  expect(await statusOf(after.accessToken)).toBe(200)
  expect((await verifiedClaims(cardea, after.accessToken)).aep?.[1]).toBe(1)
})

test('disabling twice changes nothing more', async () => {
  const account = await cardea.createAccount()
  for (let turn = 0; turn < 2; turn += 1) {
    expect((await change(account.id, { status: 'disabled' })).status).toBe(200)
  }
  expect(await revocationsOf(account.id)).toHaveLength(1)
})

test('R55: a session of an account that was deleted is refused, and so is its access token within the bound', async () => {
  const account = await cardea.createAccount()
  const { accessToken, refreshToken } = await cardea.client.logIn(account)
  const asOwner = sqlAs(cardea.stores.migrateUrl)
  const id = Buffer.from(account.id, 'base64url')
  await asOwner('DELETE FROM sessions WHERE account_id = $1', [id])
  await asOwner('DELETE FROM accounts WHERE id = $1', [id])
  const answer = await cardea.client.refresh(refreshToken)
  expect(answer).toMatchObject({ status: 401, body: { code: 'invalid_refresh_token' } })
  await whenRefused(cardea.client, accessToken)
})

test('changed roles condemn the tokens with the old ones and keep the session; the next refresh has the new ones', async () => {
  const account = await cardea.createAccount(['reader'])
  const { accessToken, refreshToken } = await cardea.client.logIn(account)
  const answer = await change(account.id, { roles: ['writer'] })
  expect(answer).toMatchObject({ status: 200, body: { roles: ['writer'] } })
  expect(await statusOf(accessToken)).toBe(401)
  expect(await revocationsOf(account.id)).toEqual([
    { kind: 'claims', min_epoch: '1', reason: 'roles_changed' },
  ])
  const refreshed = await cardea.client.refresh(refreshToken)
  expect(refreshed.status).toBe(200)
  expect(await statusOf(refreshed.body.access_token)).toBe(200)
  const claims = await verifiedClaims(cardea, refreshed.body.access_token)
  expect(claims.roles).toEqual(['writer'])
  expect(claims.aep?.slice(1)).toEqual([0, 1])
})

test('the same roles in another order are no change', async () => {
  const account = await cardea.createAccount(['a', 'b'])
  const { accessToken } = await cardea.client.logIn(account)
  expect((await change(account.id, { roles: ['b', 'a'] })).status).toBe(200)
  expect(await statusOf(accessToken)).toBe(200)
  expect(await revocationsOf(account.id)).toEqual([])
})

test('an operator who loses the role loses the admin API at once', async () => {
  const operator = await cardea.createAccount(['operator'])
  const signedIn = await cardea.client.logIn(operator)
  const list = (by: string) => cardea.client.get('/admin/accounts', { token: by })
  expect((await list(signedIn.accessToken)).status).toBe(200)
  await change(operator.id, { roles: [] })
  expect((await list(signedIn.accessToken)).status).toBe(401)
  const refreshed = await cardea.client.refresh(signedIn.refreshToken)
  expect((await list(refreshed.body.access_token)).status).toBe(403)
})

test('R112: a change leaves one entry: who did it, to whom, and how the account is now', async () => {
  const account = await cardea.createAccount()
  const trail = auditEntries(cardea.stores.migrateUrl)
  await trail()
  await change(account.id, { status: 'disabled', roles: ['reader'] })
  const { sub } = await verifiedClaims(cardea, token)
  expect(await trail()).toMatchObject([
    {
      event: 'account_changed',
      outcome: 'success',
      actor: `account:${sub}`,
      account: account.id,
      address: '127.0.0.1',
      details: { status: 'disabled', roles: ['reader'] },
    },
  ])
})

test('an unknown account is 404, an id that cannot be one is 400, and so is a change of nothing', async () => {
  const unknown = await change(newId(systemRandom), { status: 'disabled' })
  expect(unknown).toMatchObject({ status: 404, body: { code: 'account_not_found' } })
  expect((await change('nobody', { status: 'disabled' })).status).toBe(400)
  const { id } = await cardea.createAccount()
  for (const body of [
    {},
    { status: 'deleted' },
    { status: null },
    { email: 'a@example.com' },
    { password: 'x' },
    [],
  ]) {
    expect((await change(id, body)).status, JSON.stringify(body)).toBe(400)
  }
})
