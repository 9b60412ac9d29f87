import { afterAll, expect, test } from 'vitest'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { dumpOf, sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea, testPassword } from '../support/service/cardea.ts'
import { verifiedClaims } from '../support/service/verified-claims.ts'

const service = 'https://api.example.com'

const cardea = await startCardea({ config: { audiences: [service] } })
const token = await cardea.operatorToken()
afterAll(() => cardea.stop())

/** One request to every route of the admin API, with bodies that an operator's token would make work. */
const requests = (id: string): readonly (readonly [string, string, unknown?])[] => [
  ['GET', '/admin/accounts'],
  ['GET', `/admin/accounts?email=a@example.com`],
  ['GET', `/admin/accounts/${id}/sessions`],
  ['POST', '/admin/accounts', { email: 'new@example.com', password: testPassword }],
  ['PATCH', `/admin/accounts/${id}`, { status: 'disabled' }],
  ['POST', '/admin/revoke', { sub: id }],
  ['POST', '/admin/revoke', { everyone: true }],
]

const expectRefused = async (by: string | undefined, status: number, code: string) => {
  const { id } = await cardea.createAccount()
  const before = await dumpOf(cardea.stores.migrateUrl)
  for (const [method, path, body] of requests(id)) {
    const answer = await cardea.client.send(method, path, {
      ...(by !== undefined && { token: by }),
      ...(body !== undefined && { body }),
    })
    expect(answer, `${method} ${path}`).toMatchObject({ status, body: { code } })
  }
  expect(await dumpOf(cardea.stores.migrateUrl)).toBe(before)
}

test('R93: without a token the admin API answers 401 and nothing happens', async () => {
  await expectRefused(undefined, 401, 'missing_token')
})

test('R93: with a refresh token in place of an access token it answers 401', async () => {
  const operator = await cardea.createAccount(['operator'])
  const { refreshToken } = await cardea.client.logIn(operator, { audience: cardea.config.issuer })
  await expectRefused(refreshToken, 401, 'invalid_token')
})

test('R93: the token of a person is not enough, whatever audience it has', async () => {
  const person = await cardea.createAccount(['reader', 'operators', 'admin'])
  for (const audience of [service, cardea.config.issuer]) {
    const { accessToken } = await cardea.client.logIn(person, { audience })
    await expectRefused(accessToken, 403, 'insufficient_scope')
  }
})

test('R93: an operator token for another audience is not enough: that service could have kept it', async () => {
  const operator = await cardea.createAccount(['operator'])
  const { accessToken } = await cardea.client.logIn(operator)
  const claims = await verifiedClaims(cardea, accessToken, { audience: service })
  expect(claims).toMatchObject({ aud: service, scope: 'account', roles: ['operator'] })
  await expectRefused(accessToken, 403, 'insufficient_scope')
})

test('R93: the admin scope is in the tokens of operators for the issuer, and in no others', async () => {
  const scopeOf = async (roles: readonly string[], audience: string) => {
    const { accessToken } = await cardea.client.logIn(await cardea.createAccount(roles), {
      audience,
    })
    return (await verifiedClaims(cardea, accessToken, { audience })).scope
  }
  expect(await scopeOf(['operator'], cardea.config.issuer)).toBe('account admin')
  expect(await scopeOf(['operator'], service)).toBe('account')
  expect(await scopeOf(['admin'], cardea.config.issuer)).toBe('account')
})

test('R93: an operator whose role was taken away by bare SQL keeps no more than the token that is out', async () => {
  const operator = await cardea.createAccount(['operator'])
  const loggedIn = await cardea.client.logIn(operator, { audience: cardea.config.issuer })
  const update = "UPDATE accounts SET roles = '{}', claims_epoch = claims_epoch + 1 WHERE id = $1"
  await sqlAs(cardea.stores.migrateUrl)(update, [Buffer.from(operator.id, 'base64url')])
  const { body } = await cardea.client.refresh(loggedIn.refreshToken)
  await expectRefused(body.access_token, 403, 'insufficient_scope')
})

test('an operator finds the account of an address in any spelling, and none for an unknown one', async () => {
  const { id, email } = await cardea.createAccount(['reader'])
  const find = (address: string) =>
    cardea.client.get(`/admin/accounts?email=${encodeURIComponent(address)}`, { token })
  const found = await find(email.toUpperCase())
  expect(found.status).toBe(200)
  expect(found.body).toEqual({
    accounts: [
      {
        id,
        email,
        status: 'active',
        roles: ['reader'],
        created_at: expect.any(String),
        updated_at: expect.any(String),
      },
    ],
  })
  expect((await find('nobody@example.com')).body).toEqual({ accounts: [] })
  expect((await find('no address')).status).toBe(400)
})

test('accounts come a hundred at a time, each exactly once', async () => {
  const own = await startCardea()
  try {
    const by = await own.operatorToken()
    const copy = `INSERT INTO accounts (id, email, email_canonical, status, roles, password_phc, created_at, updated_at)
      SELECT decode(md5(n::text), 'hex'), n || '@example.com', n || '@example.com', 'active', '{}', '-', now(), now()
      FROM generate_series(1, 249) n`
    await sqlAs(own.stores.migrateUrl)(copy)
    const seen: string[] = []
    const sizes: number[] = []
    for (let after = ''; ; ) {
      const { body } = await own.client.get(`/admin/accounts${after}`, { token: by })
      sizes.push(body.accounts.length)
      seen.push(...body.accounts.map(({ id }: { id: string }) => id))
      if (body.next === undefined) break
      after = `?after=${body.next}`
    }
    expect(sizes).toEqual([100, 100, 50])
    expect(new Set(seen).size).toBe(250)
  } finally {
    await own.stop()
  }
})

test('R128: what the admin API shows of an account holds no hash, no epoch and no count', async () => {
  const account = await cardea.createAccount()
  const list = await cardea.client.get('/admin/accounts', { token })
  expect(list.text).not.toMatch(/argon2|password|epoch|failed/)
  const sessions = await cardea.client.get(`/admin/accounts/${account.id}/sessions`, { token })
  expect(sessions.body).toEqual({ sessions: [] })
  await cardea.client.logIn(account)
  const one = await cardea.client.get(`/admin/accounts/${account.id}/sessions`, { token })
  const members = [
    'address',
    'created_at',
    'current',
    'delivery',
    'device',
    'expires_at',
    'id',
    'kind',
    'last_used_at',
  ]
  expect(Object.keys(one.body.sessions[0]).toSorted()).toEqual(members)
})

test('R112: that an operator looked is recorded, with what was looked at', async () => {
  const { id } = await cardea.createAccount()
  const trail = auditEntries(cardea.stores.migrateUrl)
  await trail()
  await cardea.client.get('/admin/accounts', { token })
  await cardea.client.get(`/admin/accounts/${id}/sessions`, { token })
  const { sub } = await verifiedClaims(cardea, token)
  const read = { event: 'operator_read', outcome: 'success', actor: `account:${sub}` }
  expect(await trail()).toMatchObject([
    { ...read, account: null, details: { what: 'accounts' } },
    { ...read, account: id, details: { what: 'sessions' } },
  ])
  const unknown = await cardea.client.get(`/admin/accounts/${newId(systemRandom)}/sessions`, {
    token,
  })
  expect(unknown).toMatchObject({ status: 404, body: { code: 'account_not_found' } })
})
