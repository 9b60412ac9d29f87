import { Redis } from 'ioredis'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import { idToBytes } from '../../src/lib/machine.ts'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { statementObserver } from '../support/servers/statement-counter.ts'
import { startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { handleFields } from '../support/service/handles.ts'
import { type QuickSession, quickSession } from '../support/service/quick-session.ts'
import { newServiceClient, postForm } from '../support/service/service-client.ts'

/** Longer than a revocation is kept beyond the life of a token. */
const stillMs = 2 * 60_000

let database: FreshDatabase
let clock: FakeClock
let proxy: TcpProxy
let redisProxy: TcpProxy
let look: Redis
let cardea: Cardea
/** While this statement, or a look at a copy of a session, is on its way the process stands still. */
let stoppedBy: string | undefined

const aCopy = 'cardea:session:'

beforeAll(async () => {
  database = await freshDatabase()
  clock = fakeClock()
  const standStill = (statement: string) => {
    if (statement !== stoppedBy) return
    stoppedBy = undefined
    clock.advance(stillMs)
  }
  proxy = await startTcpProxy(database.appUrl, statementObserver(standStill))
  redisProxy = await startTcpProxy(inject('redisUrl'), () => ({
    onClientBytes: (bytes) => {
      if (bytes.includes(aCopy)) standStill(aCopy)
    },
  }))
  look = new Redis(inject('redisUrl'))
  cardea = await startCardea({
    clock,
    redisUrl: redisProxy.through(inject('redisUrl')),
    database: { ownerUrl: database.ownerUrl, appUrl: proxy.through(database.appUrl) },
  })
})
afterAll(async () => {
  look.disconnect()
  await cardea.stop()
  await redisProxy.stop()
  await proxy.stop()
  await database.drop()
})

/** Gets the token while the process stands still over `what`. */
const overWhat = async (what: string, get: () => Promise<string>): Promise<string> => {
  stoppedBy = what
  return await get()
}

const session = async (): Promise<QuickSession> =>
  quickSession(cardea, (await cardea.createAccount()).id)

/** A handle that the process is about to refresh for the first time. */
const current = async (): Promise<string> => (await session()).refreshToken

/** The last presented handle, within the grace. */
const repeated = async (): Promise<string> => {
  const { refreshToken } = await session()
  await cardea.client.refresh(refreshToken)
  return refreshToken
}

/** The last presented handle, after the grace. */
const lost = async (): Promise<string> => {
  const handle = await repeated()
  clock.advance(10_000)
  return handle
}

/** As after a fail-over that lost commits. */
const recovered = async (): Promise<string> => {
  const { sessionId, refreshToken } = await session()
  const { refreshCookie = '' } = await cardea.client.refresh(refreshToken)
  await sqlAs(database.ownerUrl)('UPDATE sessions SET generation = 0 WHERE id = $1', [
    idToBytes(sessionId),
  ])
  return refreshCookie
}

/** A stolen handle, older than the last presented one. */
const reused = async (): Promise<string> => {
  const handle = await repeated()
  const { refreshCookie = '' } = await cardea.client.refresh(handle)
  await cardea.client.refresh(refreshCookie)
  return handle
}

const loggedIn = async (what: string): Promise<string> => {
  const { email, password } = await cardea.createAccount()
  const body = { email, password }
  return overWhat(
    what,
    async () => (await cardea.client.post('/login', { body })).body.access_token,
  )
}

const grantedToService = async (what: string): Promise<string> => {
  const { authorization } = await newServiceClient(cardea)
  const form = { grant_type: 'client_credentials' }
  return overWhat(
    what,
    async () =>
      (await postForm(cardea.client, '/oauth/token', authorization, form)).body.access_token,
  )
}

const passedOn = async (what: string): Promise<string> => {
  const { email, password } = await cardea.createAccount()
  const opened = await cardea.client.post('/login', {
    body: { email, password, session: 'cookie' },
  })
  const cookie = opened.headers
    .getSetCookie()
    .find((line) => line.startsWith('__Host-cardea-session='))
  const headers = { cookie: cookie?.split(';')[0] ?? '' }
  if (what === aCopy) {
    await cardea.client.get('/session', { headers })
    const key = `${aCopy}${opened.body.session_id}`
    await vi.waitUntil(async () => (await look.exists(key)) === 1)
  }
  return overWhat(what, async () => {
    const answer = await cardea.client.get('/forward-auth?token=1', { headers })
    return answer.headers.get('authorization')?.replace('Bearer ', '') ?? ''
  })
}

test.each([
  ['a refresh', 'session_rotate', current, 200],
  ['a refresh that comes again', 'session_find', repeated, 200],
  ['a refresh whose response was lost', 'session_resume', lost, 200],
  ['the refresh of a row that was set back', 'session_recover', recovered, 200],
  ['the refresh of a stolen handle', 'session_find', reused, 401],
])(
  'R77, I13: when the process stands still during %s it is 503, hands out nothing and ends nothing; the next one is as usual',
  async (_what, statement, handleOf, usual) => {
    const handle = await handleOf()
    stoppedBy = statement
    const late = await cardea.client.refresh(handle)
    expect(stoppedBy).toBeUndefined()
    expect(late).toMatchObject({ status: 503, body: { code: 'refresh_delayed' } })
    expect(late.headers.get('retry-after')).toBe('1')
    expect(late.headers.getSetCookie()).toEqual([])
    const live = 'SELECT FROM sessions WHERE id = $1 AND ended_at IS NULL'
    const id = idToBytes(handleFields(handle).sessionId)
    expect(await sqlAs(database.ownerUrl)(live, [id])).toHaveLength(1)
    const before = Math.floor(clock.nowMs() / 1000)
    const next = await cardea.client.refresh(handle)
    expect(next.status).toBe(usual)
    if (usual === 200) expect(decodeJwt(next.body.access_token).iat).toBe(before)
  },
)

test.each([
  ['a login', 'session_add', loggedIn],
  ['a grant to a service', 'service_client_rights', grantedToService],
  ['a look-up for a proxy', 'cookie_session_look', passedOn],
  ['a look at a copy for a proxy', aCopy, passedOn],
])(
  'R77: when the process stands still during %s the token ends as if it had not',
  async (_what, statement, get) => {
    const before = Math.floor(clock.nowMs() / 1000)
    const token = await get(statement)
    expect(stoppedBy).toBeUndefined()
    const { iat, exp } = decodeJwt(token)
    expect([iat, exp]).toEqual([before, before + 900])
  },
)

test('R77: a revocation that the process stands still over before its commit is 503 and did not happen; the next one did', async () => {
  const token = await cardea.operatorToken()
  const { sessionId, refreshToken } = await session()
  const options = { token, body: { sid: sessionId } }
  const entries = () =>
    sqlAs(database.ownerUrl)('SELECT FROM revocations WHERE key = $1', [sessionId])
  // The entry is made by then.
  stoppedBy = 'revocation_insert'
  const late = await cardea.client.post('/admin/revoke', options)
  expect([late.status, late.body.code]).toEqual([503, 'store_unavailable'])
  expect(await entries()).toHaveLength(0)
  expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
  expect((await cardea.client.post('/admin/revoke', options)).status).toBe(200)
  expect(await entries()).toHaveLength(1)
})

test('R77: a revocation during which the machine was suspended is 503 and did not happen; the next one waits for the right time', async () => {
  const [suspended, database] = [60 * 60_000, await freshDatabase()]
  // The monotonic clock of Linux stands still meanwhile, and the wall clock does not.
  let now: { mockRestore: () => void } | undefined
  const suspend = (statement: string) => {
    if (statement !== 'revocation_insert' || now) return
    const real = Date.now
    now = vi.spyOn(Date, 'now').mockImplementation(() => real() + suspended)
  }
  const proxy = await startTcpProxy(database.appUrl, statementObserver(suspend))
  const appUrl = proxy.through(database.appUrl)
  const cardea = await startCardea({ database: { ownerUrl: database.ownerUrl, appUrl } })
  try {
    const token = await cardea.operatorToken()
    const { sessionId } = await quickSession(cardea, (await cardea.createAccount()).id)
    const options = { token, body: { sid: sessionId } }
    const entries = () =>
      sqlAs(database.ownerUrl)<{ right: boolean }>(
        `SELECT abs(extract(epoch FROM created_at - now())) < 600 AS right
         FROM revocations WHERE key = $1`,
        [sessionId],
      )
    const late = await cardea.client.post('/admin/revoke', options)
    expect([late.status, late.body.code]).toEqual([503, 'store_unavailable'])
    expect(await entries()).toEqual([])
    expect((await cardea.client.post('/admin/revoke', options)).status).toBe(200)
    expect(await entries()).toEqual([{ right: true }])
  } finally {
    now?.mockRestore()
    await cardea.stop()
    await proxy.stop()
    await database.drop()
  }
})
