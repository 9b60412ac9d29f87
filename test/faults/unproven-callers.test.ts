import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { keyLabels } from '../../src/keys/index.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import {
  isOfRequests,
  statementCounter,
  statementObserver,
} from '../support/servers/statement-counter.ts'
import { type Observer, startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import type { Answer } from '../support/service/client.ts'
import { formBrowser } from '../support/service/form-browser.ts'
import { codecOf } from '../support/service/handles.ts'
import { quickSession } from '../support/service/quick-session.ts'
import { basicHeader, newServiceClient, postForm } from '../support/service/service-client.ts'

const poolSize = 8
const connections = 256
const people = 15

let database: FreshDatabase
let proxy: TcpProxy
let cardea: Cardea
let sessions: string[]
/** Runs of this statement get no answer: each keeps its connection. */
let heldStatement: string | undefined
let held = 0

const requests = statementCounter(isOfRequests)

const observe = (): Observer => {
  let isHeld = false
  const { onClientBytes } = statementObserver((statement) => {
    if (statement !== heldStatement || isHeld) return
    isHeld = true
    held += 1
  })()
  const counted = requests.observe()
  return {
    onClientBytes: (bytes) => {
      onClientBytes?.(bytes)
      counted.onClientBytes?.(bytes)
    },
    onServerBytes: () => (isHeld ? 'lose' : 'pass'),
  }
}

beforeAll(async () => {
  database = await freshDatabase()
  proxy = await startTcpProxy(database.appUrl, observe)
  cardea = await startCardea({
    database: { ownerUrl: database.ownerUrl, appUrl: proxy.through(database.appUrl) },
    // Nothing here is to be given up but what a pool without a bound would keep waiting.
    config: { databasePoolSize: poolSize, databaseStatementTimeoutMs: 60_000 },
    timeouts: { responseMs: 60_000 },
  })
  const { id } = await cardea.createAccount()
  const opened = Array.from({ length: people }, () => quickSession(cardea, id))
  sessions = (await Promise.all(opened)).map(({ refreshToken }) => refreshToken)
})
afterAll(async () => {
  await cardea.stop()
  await proxy.stop()
  await database.drop()
})
beforeEach(() => {
  held = 0
})

const refreshAll = async (): Promise<number[]> => {
  const answers = await Promise.all(sessions.map((handle) => cardea.client.refresh(handle)))
  sessions = answers.map(({ refreshCookie }, place) => refreshCookie ?? sessions[place] ?? '')
  return answers.map(({ status }) => status)
}

const invented = () =>
  basicHeader(randomBytes(16).toString('base64url'), randomBytes(32).toString('base64url'))

const stranger = () => `${randomBytes(6).toString('hex')}@example.com`

const logIn = () =>
  cardea.client.post('/login', { body: { email: stranger(), password: 'a wrong password 123' } })

const byForm = async () => {
  const browser = formBrowser(cardea.client.address)
  const page = (await browser.open('/login')).page()
  return () => browser.submit(page, { email: stranger(), password: 'a wrong password 123' })
}

const ofKnownClient = async () => {
  const { clientId } = await newServiceClient(cardea)
  const authorization = () => basicHeader(clientId, randomBytes(32).toString('base64url'))
  return () => postForm(cardea.client, '/oauth/introspect', authorization(), { token: 'x' })
}

const withBasic = (path: string, form: Record<string, string>) => async () => () =>
  postForm(cardea.client, path, invented(), form)

const reading = (path: string) => async () => () =>
  cardea.client.get(path, { headers: { authorization: invented() } })

type Request = () => Promise<Pick<Answer, 'status'>>

/** Each kind in turn: together they hold no more than one of them may. */
const inTurn = async (...kinds: readonly (() => Promise<Request>)[]): Promise<Request> => {
  const requests = await Promise.all(kinds.map((make) => make()))
  let next = 0
  return () => {
    next += 1
    return requests[next % requests.length]!()
  }
}

const byServiceClients = () =>
  inTurn(
    withBasic('/oauth/introspect', { token: 'x' }),
    withBasic('/oauth/revoke', { token: 'x' }),
    withBasic('/oauth/token', { grant_type: 'refresh_token', refresh_token: 'x' }),
    reading('/revocations?cursor=0'),
    reading('/revocations/snapshot'),
  )

const grants = withBasic('/oauth/token', { grant_type: 'client_credentials' })

/** Name, the statement that such a request makes Postgres run, the most connections it may hold, and how one is made. */
const floods: readonly (readonly [string, string, number, () => Promise<Request>])[] = [
  ['readiness', 'ping', 1, async () => () => cardea.client.get('/health/ready')],
  ['each route of service clients', 'service_client_valid_digests', 2, byServiceClients],
  ['the client credentials grant', 'service_client_rights', 2, grants],
  ['wrong secrets of one client', 'service_client_valid_digests', 1, ofKnownClient],
  ['logins, by form too,', 'account_find_by_email', 2, () => inTurn(async () => logIn, byForm)],
  ['records of refused logins', 'account_count_failed_login', 1, async () => logIn],
]

test.each(floods)(
  `R108: ${connections} connections of strangers at %s leave the pool to refreshes`,
  async (...[, statement, share, prepare]) => {
    const request = await prepare()
    heldStatement = statement
    const flood = Promise.all(Array.from({ length: connections }, request))
    await vi.waitUntil(() => held > 0)
    for (let round = 0; round < 3; round += 1) {
      expect(await refreshAll()).toEqual(sessions.map(() => 200))
    }
    expect(held).toBeLessThanOrEqual(share)
    heldStatement = undefined
    proxy.cutAll()
    const refused = new Set((await flood).map(({ status }) => status))
    expect([...refused].filter((status) => ![401, 503].includes(status))).toEqual([])
    await vi.waitFor(async () => expect(await refreshAll()).toEqual(sessions.map(() => 200)))
  },
)

test('R108: a service client that was right once does not wait behind strangers', async () => {
  const { authorization } = await newServiceClient(cardea)
  const own = () =>
    postForm(cardea.client, '/oauth/token', authorization, { grant_type: 'client_credentials' })
  // Authenticated, and without an audience of its own the default: a token.
  expect((await own()).status).toBe(200)
  heldStatement = 'service_client_valid_digests'
  const flood = Promise.all(
    Array.from({ length: connections }, () =>
      postForm(cardea.client, '/oauth/introspect', invented(), { token: 'x' }),
    ),
  )
  await vi.waitUntil(() => held > 0)
  for (let round = 0; round < 3; round += 1) expect((await own()).status).toBe(200)
  heldStatement = undefined
  proxy.cutAll()
  await flood
})

test('made-up handles and tokens cost no statement at all', async () => {
  const handle = (label: Parameters<typeof codecOf>[1]) =>
    codecOf(['a secret of somebody else who tries things out'], label).write({
      sessionId: randomBytes(16).toString('base64url'),
      generation: 0,
      secret: randomBytes(32),
    })
  const refresh = handle(keyLabels.refreshHandle)
  const session = handle(keyLabels.sessionHandle)
  const { client } = cardea
  requests.take()
  const answers = await Promise.all([
    client.refresh(refresh),
    client.refreshByBody(refresh),
    client.post('/logout', { handle: refresh, session }),
    client.get('/session', { session }),
    client.get('/account', { session }),
    client.get('/forward-auth', { session }),
    client.get('/login', { session, headers: { accept: 'text/html' } }),
    client.get('/account', { token: 'eyJhbGciOiJFUzI1NiJ9.e30.AAAA' }),
    client.get('/forward-auth', { token: 'eyJhbGciOiJFUzI1NiJ9.e30.AAAA' }),
    postForm(client, '/oauth/revoke', undefined, { token: refresh }),
  ])
  expect(answers.filter(({ status }) => status >= 500)).toEqual([])
  expect(requests.take().Execute).toBe(0)
})
