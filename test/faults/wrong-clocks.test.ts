import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { startBackground } from '../../src/background.ts'
import { runCliProcess } from '../cli/run-cli.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { clockAhead } from '../support/clocks/wrong-clock.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { type Cardea, startCardea, type TestAccount } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { startWrongClock, type WrongClockProcess } from './wrong-clock-process.ts'

const secondMs = 1_000
const hourMs = 3_600_000
const dayMs = 86_400_000

const secret = 'a-secret-of-the-tests-that-is-long-enough'
const pepper = 'a-pepper-of-the-tests-that-is-long-enough'
const settings = {
  CARDEA_SECRET: secret,
  PASSWORD_PEPPER: pepper,
  ISSUER: 'http://127.0.0.1:8088',
  LOGIN_FAILURES_PER_SOURCE: '1000000',
  LOGIN_FAILURES_PER_NETWORK: '1000000',
  LOGIN_FAILURES_GLOBAL: '1000000',
  DATABASE_CONNECT_TIMEOUT_MS: '10000',
  DATABASE_STATEMENT_TIMEOUT_MS: '10000',
  // However long a busy machine takes between two requests of a test.
  REFRESH_GRACE_SECONDS: '60',
}
const peopleCount = 6

let database: FreshDatabase
/** Two processes whose clocks are right. */
let cardea: Cardea
let operator: string

beforeAll(async () => {
  database = await freshDatabase()
  const config = { refreshGraceSeconds: 60 }
  const right = { database, config, secrets: [secret], peppers: [pepper], instances: 2 }
  cardea = await startCardea(right)
  operator = await cardea.operatorToken()
})
afterAll(async () => {
  await cardea.stop()
  await database.drop()
})

const sql = <Row extends object>(text: string, values: readonly unknown[] = []) =>
  sqlAs(database.ownerUrl)<Row>(text, values)

const databaseSeconds = async (): Promise<number> => {
  const [row] = await sql<{ now: number }>(
    'SELECT extract(epoch FROM clock_timestamp())::float8 AS now',
  )
  return row?.now ?? 0
}

/** What no process may delete or change because its own clock says so. */
const everything = async () => ({
  sessions: await sql('SELECT id, ended_at, end_reason FROM sessions ORDER BY id'),
  revocations: await sql('SELECT seq, not_after FROM revocations ORDER BY seq'),
  keys: await sql('SELECT kid, state, activated_at, retired_at FROM signing_keys ORDER BY kid'),
})

const revokedStatus = async (index: number, token: string): Promise<number> =>
  (await cardea.clientOf(index).get('/account', { token })).status

type Person = { readonly account: TestAccount; readonly token: Answer; readonly cookie: string }

const newPerson = async (): Promise<Person> => {
  const account = await cardea.createAccount()
  const token = await cardea.client.logIn(account)
  return { account, token, cookie: await cardea.client.logInForCookie(account) }
}

/** The time in a token that was made between the two is of Postgres's clock, to the round trips of a busy machine. */
const expectRight = (token: string, fromSeconds: number, toSeconds: number): void => {
  const { iat = 0, exp = 0 } = decodeJwt(token)
  expect(iat).toBeGreaterThanOrEqual(Math.floor(fromSeconds) - 2)
  expect(iat).toBeLessThanOrEqual(toSeconds + 2)
  expect(exp - iat).toBe(900)
}

/** Lines are written together, some time after. */
const expectWarnings = (process: WrongClockProcess, count: number) =>
  vi.waitFor(() => expect(warnings(process.log())).toHaveLength(count))

const warnings = (text: string) => text.split('\n').filter((line) => /clocks of this/.test(line))

describe.each([
  ['9 s ahead', 9 * secondMs, 200, 'differs'],
  ['40 s behind', -40 * secondMs, 503, 'too_far'],
  ['2 h ahead', 2 * hourMs, 503, 'too_far'],
  ['40 d ahead', 40 * dayMs, 503, 'too_far'],
])('with one of three processes %s', (_how, aheadMs, readyStatus, clock) => {
  let wrong: WrongClockProcess
  let people: Person[]
  let before: Awaited<ReturnType<typeof everything>>
  let revoked: string

  beforeAll(async () => {
    people = []
    for (let made = 0; made < peopleCount; made += 1) people.push(await newPerson())
    const victim = await newPerson()
    revoked = victim.token.body.access_token
    const body = { sid: victim.token.body.session_id }
    expect((await cardea.client.post('/admin/revoke', { token: operator, body })).status).toBe(200)
    before = await everything()
    wrong = await startWrongClock(database, aheadMs, settings)
  })
  afterAll(() => wrong.stop())

  test('R54 R78: no session and no revocation is deleted and no key is rotated, however often it looks', async () => {
    await wrong.cycles(5)
    expect(await everything()).toEqual(before)
    for (const index of [0, 1]) expect(await revokedStatus(index, revoked)).toBe(401)
    expect((await wrong.client.get('/account', { token: revoked })).status).toBe(401)
  })

  test('R54: people stay logged in wherever their requests go, and the tokens it issues carry the right times', async () => {
    for (const { token, cookie } of people) {
      const handle = token.refreshCookie ?? ''
      const before = await databaseSeconds()
      const there = await wrong.client.refresh(handle)
      expect(there.status).toBe(200)
      expectRight(there.body.access_token, before, await databaseSeconds())
      // The same handle again at another process: within the grace, by one clock.
      const again = await cardea.clientOf(1).refresh(handle)
      expect([again.status, again.refreshCookie]).toEqual([200, there.refreshCookie])
      const next = await cardea.client.refresh(there.refreshCookie ?? '')
      expect(next.status).toBe(200)
      const back = await wrong.client.refresh(next.refreshCookie ?? '')
      expect(back.status).toBe(200)
      expect(await revokedStatus(0, there.body.access_token)).toBe(200)
      expect((await wrong.client.get('/account', { token: next.body.access_token })).status).toBe(
        200,
      )
      expect((await wrong.client.get('/session', { session: cookie })).status).toBe(200)
      expect((await cardea.client.get('/session', { session: cookie })).status).toBe(200)
    }
  })

  test('R77: what it revokes is kept for as long as any token lives, and the others refuse it', async () => {
    const { token } = await newPerson()
    const sid = token.body.session_id
    const before = await databaseSeconds()
    const options = { token: operator, body: { sid } }
    expect((await wrong.client.post('/admin/revoke', options)).status).toBe(200)
    const [entry] = await sql<{ ends: number; made: number }>(
      `SELECT extract(epoch FROM not_after)::float8 AS ends, extract(epoch FROM created_at)::float8 AS made
       FROM revocations WHERE key = $1`,
      [sid],
    )
    const after = await databaseSeconds()
    expect(entry?.made).toBeGreaterThan(before - 2)
    expect(entry?.made).toBeLessThan(after + 2)
    expect((entry?.ends ?? 0) - (entry?.made ?? 0)).toBeCloseTo(970, 1)
    await vi.waitUntil(async () => (await revokedStatus(0, token.body.access_token)) === 401)
  })

  test('readiness says it, the log says it once, and the Date of responses is right', async () => {
    const { status, body, headers } = await wrong.client.get('/health/ready')
    expect([status, body.clock]).toEqual([readyStatus, clock])
    const apartMs = Date.parse(headers.get('date') ?? '') - (await databaseSeconds()) * 1000
    expect(Math.abs(apartMs)).toBeLessThan(4_000)
    await wrong.cycles(5)
    await expectWarnings(wrong, 1)
    expect((await cardea.client.get('/health/ready')).body.clock).toBe('agrees')
  })
})

test('R54 R78: a process that believed its own clock, 40 d ahead, would delete nothing and rotate no key: the statements ask Postgres too', async () => {
  const victim = await newPerson()
  const body = { sid: victim.token.body.session_id }
  expect((await cardea.client.post('/admin/revoke', { token: operator, body })).status).toBe(200)
  const clock = fakeClock(Date.now() + 40 * dayMs)
  const believing = await startCardea({ database, clock, secrets: [secret], peppers: [pepper] })
  const { core } = believing.instances[0]!
  const before = await everything()
  let cycles = 0
  const { sessions } = core.stores
  const dropExpired: typeof sessions.dropExpired = async (...input) => {
    await core.keys.keep()
    cycles += 1
    return sessions.dropExpired(...input)
  }
  const counted = { ...core, stores: { ...core.stores, sessions: { ...sessions, dropExpired } } }
  const upkeep = startBackground(counted, { everyMs: 20, batchRows: 1_000, soonMs: 1 })
  await vi.waitUntil(() => cycles >= 5)
  await upkeep.stop()
  expect(await everything()).toEqual(before)
  const { entries } = (await core.revocations.feed.snapshot()).page
  expect([...entries].map(({ key }) => key)).toContain(body.sid)
  await believing.stop()
})

test('a process is ready again when its clock is right again, and decides nothing by a clock that has just jumped', async () => {
  const process = await startWrongClock(database, -hourMs, settings)
  try {
    expect((await process.client.get('/health/ready')).status).toBe(503)
    process.setClock(0)
    await vi.waitFor(async () =>
      expect((await process.client.get('/health/ready')).body).toMatchObject({
        status: 'ready',
        clock: 'agrees',
      }),
    )
    await expectWarnings(process, 2)
    // As after a suspension: the wall clock is an hour ahead of what the monotonic one says.
    const { token } = await newPerson()
    process.setClock(hourMs)
    const before = await databaseSeconds()
    const answer = await process.client.refresh(token.refreshCookie ?? '')
    expect(answer.status).toBe(200)
    expectRight(answer.body.access_token, before, await databaseSeconds())
  } finally {
    await process.stop()
  }
})

test.each([
  ['behind', -40 * secondMs],
  ['ahead', 40 * dayMs],
])(
  'R77: a command on a machine whose clock is %s writes the right times and warns',
  async (_how, aheadMs) => {
    const { token } = await newPerson()
    const sid = token.body.session_id
    const before = await databaseSeconds()
    const ran = await runCliProcess(['revoke', '--sid', sid, '--json'], {
      ...settings,
      ...clockAhead(aheadMs),
      DATABASE_URL: database.appUrl,
      REDIS_URL: inject('redisUrl'),
    })
    expect([ran.code, ran.stderr]).toEqual([0, expect.stringContaining('clocks of this machine')])
    const after = await databaseSeconds()
    const [entry] = await sql<{ ends: number; at: number }>(
      `SELECT extract(epoch FROM r.not_after)::float8 AS ends,
       (SELECT extract(epoch FROM max(at))::float8 FROM audit_events) AS at
     FROM revocations r WHERE key = $1`,
      [sid],
    )
    for (const seconds of [(entry?.ends ?? 0) - 970, entry?.at ?? 0]) {
      expect(seconds).toBeGreaterThan(before - 2)
      expect(seconds).toBeLessThan(after + 2)
    }
    const committed = Date.parse(ran.json().committed_at) / 1000
    expect(Math.abs(committed - after)).toBeLessThan(60)
  },
)
