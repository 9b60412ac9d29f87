import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { loadConfig } from '../../src/config/index.ts'
import { idToBytes } from '../../src/lib/machine.ts'
import { timeAwake } from '../support/clocks/awake-clock.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { Answer, LoggedIn } from '../support/service/client.ts'
import { quickSession } from '../support/service/quick-session.ts'
import { retryWhileAway } from '../support/service/retry-while-away.ts'

const { databaseConnectTimeoutMs, databaseStatementTimeoutMs } = loadConfig({})

/** R104 asks for a second; the rest is for what the service computes on a slow machine. */
const patienceMs = 1_500

let postgres: PostgresServer
let cardea: Cardea
let account: TestAccount
let operator: string
let loggedIn: LoggedIn

beforeAll(async () => {
  postgres = await startPostgres()
  cardea = await startCardea({
    database: postgres,
    config: { databaseConnectTimeoutMs, databaseStatementTimeoutMs },
  })
  account = await cardea.createAccount()
  operator = await cardea.operatorToken()
})
afterAll(async () => {
  await cardea.stop()
  await postgres.stop()
})
beforeEach(async () => {
  loggedIn = await vi.waitFor(() => cardea.client.logIn(account))
})

/** Every kind of request that needs Postgres. */
const requests = (): readonly (readonly [string, () => Promise<Answer>])[] => {
  const { client } = cardea
  const { accessToken: token, refreshToken: handle } = loggedIn
  const { email, password } = account
  return [
    ['refresh', () => client.refresh(handle)],
    ['login', () => client.post('/login', { body: { email, password } })],
    ['account', () => client.get('/account', { token })],
    ['sessions', () => client.get('/sessions', { token })],
    ['end sessions', () => client.send('DELETE', '/sessions', { token })],
    ['logout', () => client.post('/logout', { handle })],
    ['logout by token', () => client.post('/logout', { token })],
    ['revoke', () => client.post('/admin/revoke', { token: operator, body: { sub: account.id } })],
    ['accounts', () => client.get('/admin/accounts', { token: operator })],
  ]
}

const generationOf = async (sessionId: string): Promise<number | undefined> => {
  const text = 'SELECT generation FROM sessions WHERE id = $1'
  const values = [idToBytes(sessionId)]
  const [row] = await sqlAs(postgres.ownerUrl)<{ generation: number }>(text, values)
  return row?.generation
}

const expectStoreAway = (name: string, answer: Answer): void => {
  expect(answer.status, name).toBe(503)
  expect(answer.body.code, name).toBe('store_unavailable')
  expect(Number(answer.headers.get('retry-after')), name).toBeGreaterThan(0)
  expect(answer.headers.getSetCookie(), name).toEqual([])
  expect(answer.headers.get('www-authenticate'), name).toBeNull()
}

const faults = {
  stopped: { begin: () => postgres.kill(), end: () => postgres.restart() },
  frozen: { begin: () => postgres.freeze(), end: () => postgres.thaw() },
}

describe.each(['stopped', 'frozen'] as const)('while Postgres is %s', (fault) => {
  const { begin, end } = faults[fault]

  test('R104: whatever needs it is answered with 503 and Retry-After within a second, keeps its cookie, and works again afterwards without a restart; keys are served, and health says what is so', async () => {
    const keys = await cardea.client.get('/.well-known/jwks.json')
    await begin()
    for (const [name, send] of requests()) {
      const { result: answer, tookMs } = await timeAwake(send)
      expect(tookMs, name).toBeLessThan(patienceMs)
      expectStoreAway(name, answer)
    }
    const meanwhile = await cardea.client.get('/.well-known/jwks.json')
    expect([meanwhile.status, meanwhile.text]).toEqual([200, keys.text])
    expect((await cardea.client.get('/health/live')).status).toBe(200)
    const ready = await cardea.client.get('/health/ready')
    expect(ready.status).toBe(503)
    expect(ready.body).toMatchObject({ status: 'not_ready', stores: { postgres: 'unreachable' } })
    await end()
    const refreshed = await retryWhileAway(() => cardea.client.refresh(loggedIn.refreshToken))
    expect(refreshed.status).toBe(200)
    const token = refreshed.body.access_token
    const own = await retryWhileAway(() => cardea.client.get('/account', { token }))
    expect(own.status).toBe(200)
    const isReady = async () =>
      expect((await cardea.client.get('/health/ready')).body.status).toBe('ready')
    await vi.waitFor(isReady)
  })

  test('R46: 60 refreshes at once are all told to come back within a second, and the handle stays good', async () => {
    await begin()
    const refresh = () => cardea.client.refresh(loggedIn.refreshToken)
    const { result: answers, tookMs } = await timeAwake(() =>
      Promise.all(Array.from({ length: 60 }, refresh)),
    )
    await end()
    for (const answer of answers) expectStoreAway('refresh', answer)
    expect(tookMs).toBeLessThan(patienceMs)
    // A frozen server runs what it had received before, once: that is a lost answer, which the grace covers.
    const generation = await generationOf(loggedIn.body.session_id)
    expect(generation).toBeLessThanOrEqual(fault === 'frozen' ? 1 : 0)
    const retry = await retryWhileAway(() => cardea.client.refresh(loggedIn.refreshToken))
    expect(retry.status).toBe(200)
    const next = await retryWhileAway(() => cardea.client.refresh(retry.refreshCookie ?? ''))
    expect(next.status).toBe(200)
  })
})

test('I13: a refresh that a frozen Postgres runs only after the grace, when nobody waits for it any more, costs no session', async () => {
  const clock = fakeClock()
  const other = await startCardea({
    clock,
    database: postgres,
    config: { databaseConnectTimeoutMs, databaseStatementTimeoutMs },
  })
  const { sessionId, refreshToken } = await quickSession(other, account.id)
  // Idle connections enough: what runs in the background may hold some when Postgres stands still.
  const { database } = other.instances[0]!.core
  const openAtOnce = async (count: number): Promise<void> => {
    if (count > 0) await database.transaction(() => openAtOnce(count - 1))
  }
  await openAtOnce(5)
  await postgres.freeze()
  expectStoreAway('refresh', await other.client.refresh(refreshToken))
  clock.advance(other.config.refreshGraceSeconds * 1000)
  await postgres.thaw()
  await vi.waitFor(async () => expect(await generationOf(sessionId)).toBe(1))
  const retry = await retryWhileAway(() => other.client.refresh(refreshToken))
  expect(retry.status).toBe(200)
  expect(await generationOf(sessionId)).toBe(2)
  await other.stop()
})
