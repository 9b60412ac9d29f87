import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createFirstOperator, welcome } from '../../src/serve.ts'
import { firstOperatorEmail, printedPassword } from '../support/programs/child-service.ts'
import { holdSessions } from '../support/servers/hold-rows.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startCardea } from '../support/service/cardea.ts'
import { type Client, httpClient } from '../support/service/client.ts'
import {
  type ServiceOnDatabase,
  serviceOnDatabase,
} from '../support/service/service-on-database.ts'

let home: ServiceOnDatabase
let client: Client

beforeAll(async () => {
  home = await serviceOnDatabase({
    CARDEA_SECRET: randomBytes(32).toString('base64url'),
    // Longer than the password that is made up when the policy asks for no more.
    PASSWORD_MIN_LENGTH: '64',
    DATABASE_CONNECT_TIMEOUT_MS: '4000',
    // Requests and starts are held up on purpose.
    DATABASE_STATEMENT_TIMEOUT_MS: '20000',
    REFRESH_GRACE_SECONDS: '60',
    LOG_LEVEL: 'warn',
  })
  client = httpClient(home.address)
})
afterAll(() => home.remove())

/** Statements of the service that wait for a lock. */
const waiting = `SELECT 1 FROM pg_stat_activity
  WHERE datname = current_database() AND wait_event_type = 'Lock'`

test.each([
  ['http://127.0.0.1:8088', 'http://127.0.0.1:8088'],
  ['https://example.com/auth', 'https://example.com/auth'],
  ['http://127.0.0.1:0', 'http://127.0.0.1:43210'],
])('the commands of the first page with the issuer %s go to %s', (issuer, base) => {
  const text = welcome({ address: 'http://127.0.0.1:43210', issuer, operator: undefined })
  expect(text).toContain('Cardea listens on http://127.0.0.1:43210\n')
  expect(text.match(/(?<=curl -s )\S+/g)).toEqual([
    `${base}/login`,
    `${base}/.well-known/jwks.json`,
  ])
})

// In order: the first start migrates the database.
test('a signal during the start is heeded when the start is over', async () => {
  const holder = new pg.Client(home.database.ownerUrl)
  await holder.connect()
  // The lock of the migrations: the start waits for it.
  await holder.query('SELECT pg_advisory_lock(109252285588833)')
  const service = home.spawn()
  await vi.waitFor(async () => expect(await sqlAs(home.database.ownerUrl)(waiting)).toHaveLength(1))
  service.signal('SIGTERM')
  await holder.end()
  expect(await service.ended).toEqual({ code: 0, signal: null })
  expect(service.stderr()).toMatch(/^(the migration waits for pid \d+ .*\n)?$/)
  await sqlAs(home.database.ownerUrl)('TRUNCATE accounts CASCADE')
})

test('a start that fails after the service listens ends the process, and frees the port', async () => {
  const { username } = new URL(home.database.appUrl)
  await sqlAs(home.database.ownerUrl)(`REVOKE INSERT ON accounts FROM "${username}"`)
  const service = home.spawn()
  expect(await service.ended).toEqual({ code: 1, signal: null })
  expect(service.stderr()).toMatch(/^error: .*accounts.*\nhint: .+\n$/)
  await sqlAs(home.database.ownerUrl)(`GRANT INSERT ON accounts TO "${username}"`)
})

test('the first operator has a password that PASSWORD_MIN_LENGTH allows, and a second signal of another kind ends the service at once', async () => {
  const service = await home.start({ TRUSTED_PROXY: '10.0.0.1' })
  expect(service.stdout()).toContain(
    '"msg":"TRUSTED_PROXY is not a setting: did you mean TRUSTED_PROXIES?"',
  )
  const { refreshToken } = await client.logIn({
    email: firstOperatorEmail,
    password: printedPassword(service),
  })
  const held = await holdSessions(home.database.ownerUrl)
  const underWay = client.refresh(refreshToken).catch(() => 'no answer')
  await held.whenWaiting(1)
  service.signal('SIGTERM')
  await vi.waitFor(async () => {
    const answer = await client.get('/health/live').catch(() => undefined)
    expect(answer?.status).not.toBe(200)
  })
  service.signal('SIGINT')
  expect(await service.ended).toEqual({ code: null, signal: 'SIGINT' })
  expect(await underWay).toBe('no answer')
  await held.release()
})

test('in production a start prints lines of JSON only: what should be known of the settings, where it listens, that it stopped', async () => {
  const service = home.spawn({
    NODE_ENV: 'production',
    ALLOW_PLAINTEXT_STORES: 'true',
    ISSUER: 'https://auth.example.com',
    TRUSTED_PROXIES: '127.0.0.1',
    LOG_LEVEL: 'info',
  })
  await vi.waitFor(() => expect(service.stdout()).toContain('"listening"'))
  service.signal('SIGTERM')
  expect(await service.ended).toEqual({ code: 0, signal: null })
  const lines = service
    .stdout()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines).toMatchObject([
    { level: 40, msg: expect.stringMatching(/^ALLOW_PLAINTEXT_STORES is true/) },
    {
      level: 30,
      msg: 'listening',
      address: home.address,
      version: expect.stringMatching(/^\d+\./),
      argon2: '@node-rs/argon2',
    },
    { level: 30, msg: 'stopped' },
  ])
})

test('of several instances that start at once on an empty database one makes the first operator, and all of them start', async () => {
  const cardea = await startCardea({ instances: 3 })
  try {
    const made = await Promise.all(cardea.instances.map(({ core }) => createFirstOperator(core)))
    const operators = made.filter((operator) => operator !== undefined)
    expect(operators).toHaveLength(1)
    const [{ email, password } = { email: '', password: '' }] = operators
    expect((await cardea.client.logIn({ email, password })).status).toBe(200)
  } finally {
    await cardea.stop()
  }
})
