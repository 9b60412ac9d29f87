import { afterAll, describe, expect, test } from 'vitest'
import { failedLoginLimit } from '../../src/login/prove-password.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { startCardea } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { startCountedHashing } from '../support/service/counted-hashing.ts'

const cardea = await startCardea({ redisUrl: null })
const counted = await startCountedHashing(cardea)
afterAll(async () => {
  await counted.stop()
  await cardea.stop()
})

const wrong = 'not the password of anybody'

type Attempt = { readonly email: string; readonly password: string }

const change = async (text: string, id: string, value?: unknown) => {
  const values = [Buffer.from(id, 'base64url'), ...(value === undefined ? [] : [value])]
  await sqlAs(cardea.stores.migrateUrl)(text, values)
}

/** Every way in which a login can fail, with the reason that only the trail names. */
const refusals: readonly (readonly [string, () => Promise<Attempt>])[] = [
  [
    'unknown_account',
    async () => ({ email: `nobody-${Math.random()}@example.com`, password: wrong }),
  ],
  ['wrong_password', async () => ({ ...(await cardea.createAccount()), password: wrong })],
  [
    'account_disabled',
    async () => {
      const account = await cardea.createAccount()
      await change("UPDATE accounts SET status = 'disabled' WHERE id = $1", account.id)
      return account
    },
  ],
  [
    'password_locked',
    async () => {
      const account = await cardea.createAccount()
      await change(
        'UPDATE accounts SET failed_logins = $2 WHERE id = $1',
        account.id,
        failedLoginLimit(false),
      )
      return account
    },
  ],
]

const attempt = ({ email, password }: Attempt): Promise<Answer> =>
  counted.client.post('/login', { body: { email, password } })

/** All of an answer but what tells one request from another. */
const shapeOf = ({ status, headers, body }: Answer) => {
  const { request_id: requestId, ...rest } = body
  const own = new Set(['date', 'x-request-id'])
  const kept = [...headers].filter(([name]) => !own.has(name))
  return { status, headers: kept, body: rest, requestIdLength: requestId.length }
}

describe.each(refusals)('a login refused as %s', (reason, prepare) => {
  test('R11: is answered like any other, with no cookie, and is told apart in the trail alone', async () => {
    const reference = shapeOf(
      await attempt({ email: `nobody-${reason}@example.com`, password: wrong }),
    )
    const trail = auditEntries(cardea.stores.migrateUrl)
    const refused = await prepare()
    await trail()
    const answer = await attempt(refused)
    expect(shapeOf(answer)).toEqual(reference)
    expect(answer).toMatchObject({ status: 401, body: { code: 'invalid_credentials' } })
    expect(answer.headers.getSetCookie()).toEqual([])
    expect(answer.text).not.toContain(reason)
    expect(await trail()).toMatchObject([
      { event: 'login_failed', outcome: 'failure', reason, account: null },
    ])
  })

  test('R11: costs exactly one argon2 computation, of the same memory as everybody else', async () => {
    const refused = await prepare()
    counted.computed()
    await attempt(refused)
    expect(counted.computed()).toEqual({ checks: [19_456], hashes: [] })
  })
})

test('R11: a disabled account with the wrong password is refused like one with the right one', async () => {
  const account = await cardea.createAccount()
  await change("UPDATE accounts SET status = 'disabled' WHERE id = $1", account.id)
  const right = shapeOf(await attempt(account))
  expect(shapeOf(await attempt({ ...account, password: wrong }))).toEqual(right)
})

test('R11: every refusal writes one entry, whoever it was', async () => {
  const trail = auditEntries(cardea.stores.migrateUrl)
  for (const [, prepare] of refusals) {
    const refused = await prepare()
    await trail()
    await attempt(refused)
    expect(await trail()).toHaveLength(1)
  }
})
