import { afterAll, describe, expect, test } from 'vitest'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'
import { whenRefused } from '../support/service/when-refused.ts'

const cardea = await startCardea()
const token = await cardea.operatorToken()
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

test('R55: disabling an account ends its sessions on every device, its access tokens and its logins, at once', async () => {
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

test('changed roles revoke the tokens with the old ones and keep the session; the next refresh has the new ones', async () => {
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
  const loggedIn = await cardea.client.logIn(operator)
  const list = (by: string) => cardea.client.get('/admin/accounts', { token: by })
  expect((await list(loggedIn.accessToken)).status).toBe(200)
  await change(operator.id, { roles: [] })
  expect((await list(loggedIn.accessToken)).status).toBe(401)
  const refreshed = await cardea.client.refresh(loggedIn.refreshToken)
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
    { name: 'a' },
    { password: 'x' },
    [],
  ]) {
    expect((await change(id, body)).status, JSON.stringify(body)).toBe(400)
  }
})

describe('another e-mail address', () => {
  const newAddress = () => `Moved-${newId(systemRandom)}@example.com`

  const logInStatus = async (email: string, password: string) =>
    (await cardea.client.post('/login', { body: { email, password } })).status

  const rowOf = async (id: string) => {
    const query = 'SELECT email, email_canonical FROM accounts WHERE id = $1'
    return (await sqlAs(cardea.stores.migrateUrl)(query, [Buffer.from(id, 'base64url')]))[0]
  }

  test('R122: is the one to log in with, in its canonical form; the old one is free again', async () => {
    const account = await cardea.createAccount()
    const email = newAddress()
    const changed = await change(account.id, { email })
    expect(changed).toMatchObject({ status: 200, body: { id: account.id, email } })
    expect(await rowOf(account.id)).toEqual({ email, email_canonical: email.toLowerCase() })
    expect(await logInStatus(email.toUpperCase(), account.password)).toBe(200)
    expect(await logInStatus(account.email, account.password)).toBe(401)
    const { email: freed, password } = account
    const other = await cardea.client.post('/admin/accounts', {
      token,
      body: { email: freed, password },
    })
    expect(other.status).toBe(201)
    expect(other.body.id).not.toBe(account.id)
  })

  test('R122: of somebody else, in any spelling, is 409, and nothing else of the request is done', async () => {
    const taken = await cardea.createAccount()
    const account = await cardea.createAccount(['reader'])
    const { accessToken } = await cardea.client.logIn(account)
    const trail = auditEntries(cardea.stores.migrateUrl)
    await trail()
    const body = { email: taken.email.toUpperCase(), roles: ['writer'], status: 'disabled' }
    const refused = await change(account.id, body)
    expect(refused).toMatchObject({ status: 409, body: { code: 'account_exists' } })
    expect(await trail()).toEqual([])
    expect(await revocationsOf(account.id)).toEqual([])
    expect((await rowOf(account.id))?.['email']).toBe(account.email)
    expect(await statusOf(accessToken)).toBe(200)
  })

  test('may be the same one in another spelling, which is no address of somebody else', async () => {
    const account = await cardea.createAccount()
    const email = account.email.toUpperCase()
    expect(await change(account.id, { email })).toMatchObject({ status: 200, body: { email } })
    expect(await logInStatus(account.email, account.password)).toBe(200)
  })

  test.each(['', 'nothing', 'a b@example.com', 'a@@example.com', 'a\u0000@example.com', null, 7])(
    'R121: that is none (%j) is 400, and nothing is changed',
    async (email) => {
      const account = await cardea.createAccount()
      expect((await change(account.id, { email, roles: ['x'] })).status).toBe(400)
      expect((await rowOf(account.id))?.['email']).toBe(account.email)
      expect(await revocationsOf(account.id)).toEqual([])
    },
  )

  test('of an account that does not exist is 404', async () => {
    const answer = await change(newId(systemRandom), { email: newAddress() })
    expect(answer).toMatchObject({ status: 404, body: { code: 'account_not_found' } })
  })

  test('leaves the sessions, and nothing shows the old one any more: neither tokens nor cached cookie sessions', async () => {
    const account = await cardea.createAccount()
    const { accessToken, refreshToken } = await cardea.client.logIn(account)
    const session = await cardea.client.logInForCookie(account)
    const shown = async () => (await cardea.client.get('/session', { session })).body.account.email
    for (let look = 0; look < 3; look += 1) expect(await shown()).toBe(account.email)
    const email = newAddress()
    await change(account.id, { email })
    expect(await shown()).toBe(email)
    expect(await statusOf(accessToken)).toBe(401)
    const refreshed = await cardea.client.refresh(refreshToken)
    expect(refreshed.status).toBe(200)
    const { body } = await cardea.client.get('/account', { token: refreshed.body.access_token })
    expect(body.email).toBe(email)
    expect(await revocationsOf(account.id)).toEqual([
      { kind: 'claims', min_epoch: '1', reason: 'email_changed' },
    ])
  })

  test('R112 R113: leaves one entry with its keyed hash, the one that a refused login with it has, and no address', async () => {
    const account = await cardea.createAccount()
    const trail = auditEntries(cardea.stores.migrateUrl)
    await trail()
    const email = newAddress()
    await change(account.id, { email })
    await change(account.id, { email })
    await cardea.client.post('/login', { body: { email, password: 'wrong wrong wrong' } })
    const [entry, failed, ...more] = await trail()
    expect(more).toEqual([])
    const { sub } = await verifiedClaims(cardea, token)
    expect(entry).toMatchObject({
      event: 'email_changed',
      outcome: 'success',
      actor: `account:${sub}`,
      account: account.id,
      details: {},
    })
    expect(failed).toMatchObject({ event: 'login_failed' })
    expect(entry?.identifier_reference).toBe(failed?.identifier_reference)
    expect(JSON.stringify(entry).toLowerCase()).not.toContain(email.toLowerCase())
  })

  test('together with status and roles it is one act with an entry for each kind, and one revocation of old claims', async () => {
    const account = await cardea.createAccount(['reader'])
    const trail = auditEntries(cardea.stores.migrateUrl)
    await trail()
    const email = newAddress()
    const body = { email, status: 'active', roles: ['writer'] }
    expect(await change(account.id, body)).toMatchObject({ status: 200, body })
    expect((await trail()).map(({ event }) => event)).toEqual(['account_changed', 'email_changed'])
    expect(await revocationsOf(account.id)).toEqual([
      { kind: 'claims', min_epoch: '1', reason: 'roles_changed' },
    ])
  })

  test('R122: of twenty accounts that are given one address at once, and one that is made with it, one gets it', async () => {
    const email = newAddress()
    const accounts = await Promise.all(Array.from({ length: 20 }, () => cardea.createAccount()))
    const making = cardea.client.post('/admin/accounts', {
      token,
      body: { email, password: accounts[0]?.password },
    })
    const answers = await Promise.all(accounts.map(({ id }) => change(id, { email })))
    const statuses = [...answers, await making].map(({ status }) => status)
    expect(statuses.filter((status) => status === 200 || status === 201)).toHaveLength(1)
    expect(statuses.filter((status) => status === 409)).toHaveLength(20)
    const query = 'SELECT count(*)::integer AS count FROM accounts WHERE email_canonical = $1'
    const rows = await sqlAs(cardea.stores.migrateUrl)(query, [email.toLowerCase()])
    expect(rows).toEqual([{ count: 1 }])
  })

  test('of one account, given by twenty operators at once, is one of theirs, with an entry for each', async () => {
    const account = await cardea.createAccount()
    const addresses = Array.from({ length: 20 }, newAddress)
    const answers = await Promise.all(addresses.map((email) => change(account.id, { email })))
    expect(answers.map(({ status }) => status)).toEqual(addresses.map(() => 200))
    expect(addresses).toContain((await rowOf(account.id))?.['email'])
    expect(await revocationsOf(account.id)).toHaveLength(20)
  })
})

test('R55: disabling an account that was disabled in the database ends what it has, for good', async () => {
  const account = await cardea.createAccount()
  const { accessToken, refreshToken } = await cardea.client.logIn(account)
  const token = await cardea.operatorToken()
  const run = sqlAs(cardea.stores.migrateUrl)
  await run(`UPDATE accounts SET status = 'disabled' WHERE id = $1`, [
    Buffer.from(account.id, 'base64url'),
  ])
  for (const status of ['disabled', 'active']) {
    const options = { token, body: { status } }
    const answer = await cardea.client.send('PATCH', `/admin/accounts/${account.id}`, options)
    expect(answer.status).toBe(200)
  }
  // Verifiers elsewhere learn of it from the log of revocations and from nowhere else.
  const entries = await run('SELECT 1 FROM revocations WHERE key = $1', [account.id])
  expect(entries).toHaveLength(1)
  expect((await cardea.client.get('/account', { token: accessToken })).status).toBe(401)
  expect((await cardea.client.refresh(refreshToken)).status).toBe(401)
  await cardea.client.logIn(account)
})
