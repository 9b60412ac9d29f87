import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cardea, startCardea } from '../support/cardea.ts'
import { type FakeClock, fakeClock } from '../support/fake-clock.ts'
import { type FreshDatabase, freshDatabase } from '../support/postgres-server.ts'
import { quickSession } from '../support/quick-session.ts'
import { newServiceClient, postForm } from '../support/service-client.ts'
import { statementObserver } from '../support/statement-counter.ts'
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts'

/** Longer than a revocation is kept beyond the life of a token. */
const stillMs = 2 * 60_000

let database: FreshDatabase
let clock: FakeClock
let proxy: TcpProxy
let cardea: Cardea
/** While this statement is on its way the process stands still. */
let stoppedBy: string | undefined

beforeAll(async () => {
  database = await freshDatabase()
  clock = fakeClock()
  const standStill = (statement: string) => {
    if (statement !== stoppedBy) return
    stoppedBy = undefined
    clock.advance(stillMs)
  }
  proxy = await startTcpProxy(database.appUrl, statementObserver(standStill))
  cardea = await startCardea({
    clock,
    database: { ownerUrl: database.ownerUrl, appUrl: proxy.through(database.appUrl) },
  })
})
afterAll(async () => {
  await cardea.stop()
  await proxy.stop()
  await database.drop()
})

const refreshed = async (): Promise<string> => {
  const { id } = await cardea.createAccount()
  const { refreshToken } = await quickSession(cardea, id)
  return (await cardea.client.refresh(refreshToken)).body.access_token
}

const signedIn = async (): Promise<string> => {
  const { email, password } = await cardea.createAccount()
  return (await cardea.client.post('/login', { body: { email, password } })).body.access_token
}

const grantedToService = async (): Promise<string> => {
  const { authorization } = await newServiceClient(cardea)
  const form = { grant_type: 'client_credentials' }
  return (await postForm(cardea.client, '/oauth/token', authorization, form)).body.access_token
}

const passedOn = async (): Promise<string> => {
  const { email, password } = await cardea.createAccount()
  const opened = await cardea.client.post('/login', {
    body: { email, password, session: 'cookie' },
  })
  const cookie = opened.headers
    .getSetCookie()
    .find((line) => line.startsWith('__Host-cardea-session='))
  const headers = { cookie: cookie?.split(';')[0] ?? '' }
  const answer = await cardea.client.get('/forward-auth?token=1', { headers })
  return answer.headers.get('authorization')?.replace('Bearer ', '') ?? ''
}

test.each([
  ['a refresh', 'session_rotate', refreshed],
  ['a sign-in', 'session_add', signedIn],
  ['a grant to a service', 'service_client_rights', grantedToService],
  ['a look-up for a proxy', 'cookie_session_look', passedOn],
])(
  'R77: when the process stands still during %s the token ends as if it had not',
  async (_what, statement, get) => {
    const before = Math.floor(clock.nowMs() / 1000)
    stoppedBy = statement
    const token = await get()
    expect(stoppedBy).toBeUndefined()
    const { iat, exp } = decodeJwt(token)
    expect([iat, exp]).toEqual([before, before + 900])
  },
)
