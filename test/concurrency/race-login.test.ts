import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { idToBytes } from '../../src/lib/machine.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { auditEntries } from '../support/service/audit-entries.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import { inLanes } from './race.ts'

const sessionsPerAccount = 5

let cardea: Cardea
let token: string

beforeAll(async () => {
  cardea = await startCardea({ instances: 3, config: { sessionsPerAccount, hashQueue: 200 } })
  token = await cardea.operatorToken()
})
afterAll(() => cardea.stop())

const logIn = (account: TestAccount, instance: number) => {
  const { email, password } = account
  return cardea.clientOf(instance).post('/login', { body: { email, password } })
}

const setStatus = async ({ id }: TestAccount, status: string, instance: number) => {
  const options = { body: { status }, token }
  const answer = await cardea.clientOf(instance).send('PATCH', `/admin/accounts/${id}`, options)
  expect(answer.status).toBe(200)
}

test('R55: a login that races with the disabling of its account leaves nothing alive, in 120 rounds', async () => {
  const accounts = [await cardea.createAccount(), await cardea.createAccount()]
  const outcomes = new Set<number>()
  await inLanes(accounts.length, 120, async (lane, round) => {
    const account = accounts[lane]!
    const disableLater = async () => {
      // A login takes about as long as some of these, most of it for the hash: the rounds meet it everywhere.
      for (let wait = 0; wait < round % 24; wait += 1) await cardea.client.get('/health/live')
      await setStatus(account, 'disabled', round % 3)
    }
    const [answer] = await Promise.all([logIn(account, (round + 1) % 3), disableLater()])
    outcomes.add(answer.status)
    await setStatus(account, 'active', (round + 2) % 3)
    // I6: and it is no hindrance to the next login, which also clears the count of failures.
    expect((await logIn(account, round % 3)).status).toBe(200)
    if (answer.status !== 200) {
      expect(answer.body.code).toBe('invalid_credentials')
      return
    }
    const bearer = { token: answer.body.access_token }
    expect((await cardea.clientOf(round % 3).get('/account', bearer)).status).toBe(401)
    expect((await cardea.client.refresh(answer.refreshCookie ?? '')).status).toBe(401)
  })
  expect(outcomes).toEqual(new Set([200, 401]))
})

/** Changes the account in a transaction that is committed only once the login waits for it, after its hash was checked. */
const logInDuring = async (account: TestAccount, change: string, value: string) => {
  const client = new pg.Client(cardea.stores.migrateUrl)
  await client.connect()
  await client.query('BEGIN')
  await client.query(`UPDATE accounts SET ${change} = $2 WHERE id = $1`, [
    idToBytes(account.id),
    value,
  ])
  const answer = logIn(account, 1)
  const waiting = `SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR NO KEY UPDATE%'`
  await vi.waitFor(
    async () => expect(await sqlAs(cardea.stores.migrateUrl)(waiting)).toHaveLength(1),
    { interval: 10 },
  )
  await client.query('COMMIT')
  await client.end()
  return answer
}

const sessionCount = async (account: TestAccount): Promise<number> => {
  const text = 'SELECT 1 FROM sessions WHERE account_id = $1'
  return (await sqlAs(cardea.stores.migrateUrl)(text, [idToBytes(account.id)])).length
}

test('a login whose password is changed while it is being checked is refused', async () => {
  const [account, other] = [await cardea.createAccount(), await cardea.createAccount()]
  const password = 'another battery for the horse 8'
  const actor = { kind: 'system' } as const
  await cardea.instances[0]!.core.setPassword({ accountId: other.id, password, actor })
  const [row] = await sqlAs(cardea.stores.migrateUrl)<{ password_phc: string }>(
    'SELECT password_phc FROM accounts WHERE id = $1',
    [idToBytes(other.id)],
  )
  const trail = auditEntries(cardea.stores.migrateUrl)
  await trail()
  const answer = await logInDuring(account, 'password_phc', row!.password_phc)
  expect(answer.status).toBe(401)
  expect(answer.body.code).toBe('invalid_credentials')
  expect(answer.refreshCookie).toBeUndefined()
  expect(await sessionCount(account)).toBe(0)
  expect(await trail()).toMatchObject([{ event: 'login_failed', reason: 'wrong_password' }])
})

test('R55: a login whose account is disabled while its password is being checked is refused', async () => {
  const account = await cardea.createAccount()
  const answer = await logInDuring(account, 'status', 'disabled')
  expect(answer.status).toBe(401)
  expect(answer.body.code).toBe('invalid_credentials')
  expect(await sessionCount(account)).toBe(0)
})

test('R56: 30 logins at once never leave an account more sessions than it may have, and what was ended for it is dead', async () => {
  const account = await cardea.createAccount()
  // Devices that logged in before: each has its own share of attempts, so that the limits let all of them try at once.
  const devices: string[] = []
  for (let made = 0; made < 30; made += 1) {
    const answer = await cardea.client.logIn(account, { delivery: 'body' })
    devices.push(answer.body.device_token)
  }
  const { email, password } = account
  const answers = await Promise.all(
    devices.map((device_token, place) => {
      const body = { email, password, delivery: 'body', device_token }
      return cardea.clientOf(place % 3).post('/login', { body })
    }),
  )
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
  const standing: string[] = []
  for (const { body } of answers) {
    const { status } = await cardea.clientOf(1).get('/account', { token: body.access_token })
    const refreshed = await cardea.clientOf(2).refreshByBody(body.refresh_token)
    // A session lives or is dead for its access token and its refresh token alike.
    expect(refreshed.status).toBe(status)
    if (status === 200) standing.push(refreshed.body.access_token)
    else expect(refreshed.body.reason).toBe('evicted')
  }
  expect(standing).toHaveLength(sessionsPerAccount)
  const list = await cardea.client.get('/sessions', { token: standing[0]! })
  expect(list.body.sessions).toHaveLength(sessionsPerAccount)
})
