import { afterAll, beforeAll, expect, test } from 'vitest'
import { idToBytes } from '../../src/lib/machine.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'

let cardea: Cardea

beforeAll(async () => {
  cardea = await startCardea({ redisUrl: null })
})
afterAll(() => cardea.stop())

test('R55: disabling an account that was disabled in the database ends what it has, for good', async () => {
  const account = await cardea.createAccount()
  const { accessToken, refreshToken } = await cardea.client.logIn(account)
  const token = await cardea.operatorToken()
  const asOwner = sqlAs(cardea.stores.migrateUrl)
  await asOwner(`UPDATE accounts SET status = 'disabled' WHERE id = $1`, [idToBytes(account.id)])
  for (const status of ['disabled', 'active']) {
    const options = { token, body: { status } }
    const answer = await cardea.client.send('PATCH', `/admin/accounts/${account.id}`, options)
    expect(answer.status).toBe(200)
  }
  // Verifiers elsewhere learn of it from the log of revocations and from nowhere else.
  const entries = await asOwner('SELECT 1 FROM revocations WHERE key = $1', [account.id])
  expect(entries).toHaveLength(1)
  expect((await cardea.client.get('/account', { token: accessToken })).status).toBe(401)
  expect((await cardea.client.refresh(refreshToken)).status).toBe(401)
  await cardea.client.logIn(account)
})
