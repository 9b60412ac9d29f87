import { afterAll, expect, test } from 'vitest'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea, type TestAccount } from '../support/service/cardea.ts'

const password = 'another battery for the horse 8'

const cardea = await startCardea()
afterAll(() => cardea.stop())

const setPassword = (accountId: string, wanted = password) =>
  cardea.instances[0]!.core.setPassword({
    accountId,
    password: wanted,
    actor: { kind: 'command-line' },
  })

const logIn = ({ email }: TestAccount, typed: string) =>
  cardea.client.post('/login', { body: { email, password: typed } })

const rowOf = async ({ id }: TestAccount) => {
  const text = 'SELECT * FROM accounts WHERE id = $1'
  const [row] = await sqlAs(cardea.stores.migrateUrl)(text, [Buffer.from(id, 'base64url')])
  return row
}

const revocationsOf = (key: string) =>
  sqlAs(cardea.stores.migrateUrl)(
    'SELECT kind, min_epoch, actor, reason FROM revocations WHERE key = $1 ORDER BY seq',
    [key],
  )

test('a new password opens the account and the old one does not', async () => {
  const account = await cardea.createAccount()
  expect(await setPassword(account.id)).toMatchObject({ accountId: account.id, status: 'active' })
  const old = await logIn(account, account.password)
  expect(old).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
  expect((await logIn(account, password)).status).toBe(200)
})

test('it ends every session and every token of the account, of any kind, at once', async () => {
  const account = await cardea.createAccount()
  const browser = await cardea.client.logIn(account)
  const phone = await cardea.client.logIn(account, { delivery: 'body' })
  const session = await cardea.client.logInForCookie(account)
  expect((await cardea.client.get('/session', { session })).status).toBe(200)
  await setPassword(account.id)
  for (const { accessToken } of [browser, phone]) {
    expect((await cardea.client.get('/account', { token: accessToken })).status).toBe(401)
  }
  const ended = { status: 401, body: { code: 'session_ended', reason: 'password_changed' } }
  expect(await cardea.client.refresh(browser.refreshToken)).toMatchObject(ended)
  expect(await cardea.client.refreshByBody(phone.refreshToken)).toMatchObject(ended)
  expect((await cardea.client.get('/session', { session })).status).toBe(401)
})

test('R112: it leaves one revocation and one entry, which hold nothing of either password', async () => {
  const account = await cardea.createAccount()
  await cardea.client.logIn(account)
  const trail = auditEntries(cardea.stores.migrateUrl)
  await trail()
  await setPassword(account.id)
  const entries = await trail()
  expect(entries).toMatchObject([
    {
      event: 'password_changed',
      outcome: 'success',
      actor: 'command-line',
      account: account.id,
      details: {},
    },
  ])
  const revocations = await revocationsOf(account.id)
  expect(revocations).toEqual([
    { kind: 'sub', min_epoch: '1', actor: 'command-line', reason: 'password_changed' },
  ])
  const written = JSON.stringify([entries, revocations, await rowOf(account), cardea.log])
  for (const secret of [password, account.password]) expect(written).not.toContain(secret)
})

test('failures that had locked the old password do not lock the new one; a disabled account stays disabled', async () => {
  const account = await cardea.createAccount()
  await sqlAs(cardea.stores.migrateUrl)(
    "UPDATE accounts SET failed_logins = 99, status = 'disabled' WHERE id = $1",
    [Buffer.from(account.id, 'base64url')],
  )
  await setPassword(account.id)
  expect(await rowOf(account)).toMatchObject({ failed_logins: 0, status: 'disabled' })
  expect((await logIn(account, password)).status).toBe(401)
})

test('R3 R6: a password that the policy refuses changes nothing, and nobody is logged out', async () => {
  const account = await cardea.createAccount()
  const { accessToken } = await cardea.client.logIn(account)
  for (const refused of ['fourteen chars', account.email]) {
    const failing = setPassword(account.id, refused)
    await expect(failing).rejects.toMatchObject({ code: 'password_rejected' })
  }
  expect((await cardea.client.get('/account', { token: accessToken })).status).toBe(200)
  expect((await logIn(account, account.password)).status).toBe(200)
  expect(await revocationsOf(account.id)).toEqual([])
})

test('an unknown account is refused', async () => {
  const failing = setPassword(newId(systemRandom))
  await expect(failing).rejects.toMatchObject({ code: 'account_not_found' })
})
