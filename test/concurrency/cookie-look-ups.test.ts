import { afterAll, beforeAll, expect, test } from 'vitest'
import { type FreshDatabase, freshDatabase } from '../support/servers/postgres-server.ts'
import { startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { handleFields } from '../support/service/handles.ts'

/** The bound within which a revocation holds everywhere, and some time for a slow machine to notice. */
const boundMs = 5_000

let database: FreshDatabase
let proxy: TcpProxy
let cardea: Cardea

beforeAll(async () => {
  database = await freshDatabase()
  proxy = await startTcpProxy(database.appUrl)
  cardea = await startCardea({
    instances: 2,
    database: { ownerUrl: database.ownerUrl, appUrl: proxy.through(database.appUrl) },
  })
})
afterAll(async () => {
  await cardea.stop()
  await proxy.stop()
  await database.drop()
})

const statusOn = async (instance: number, session: string) =>
  (await cardea.clientOf(instance).get('/session', { session })).status

test('the 200 requests of one page load are all let in, with one id and no cookie set', async () => {
  const session = await cardea.client.logInForCookie(await cardea.createAccount())
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      cardea.clientOf(index % 2).get('/session', { session }),
    ),
  )
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
  expect(new Set(answers.map(({ body }) => body.session.id)).size).toBe(1)
  expect(answers.flatMap(({ headers }) => headers.getSetCookie())).toEqual([])
})

/** Looks up without a pause on both instances until the end has been answered, and then notes how every later look-up is answered. */
const lookAround = async (session: string, end: () => Promise<number>) => {
  let endedAt: number | undefined
  const late: { instance: number; status: number; sinceMs: number }[] = []
  const keepLooking = async (instance: number): Promise<void> => {
    for (let refused = 0; refused < 5; ) {
      // Of when it begins: how long the response takes is the machine's affair.
      const sinceMs = endedAt === undefined ? undefined : performance.now() - endedAt
      const status = await statusOn(instance, session)
      if (sinceMs === undefined) continue
      late.push({ instance, status, sinceMs })
      if (status === 401) refused += 1
    }
  }
  const looking = [0, 1, 0, 1, 0, 1].map(keepLooking)
  const status = await end()
  endedAt = performance.now()
  await Promise.all(looking)
  return { status, late }
}

const ends = {
  'a logout': (session: string) => async () =>
    (await cardea.client.post('/logout', { session })).status,
  'disabling the account': (_session: string, accountId: string, token: string) => async () => {
    const options = { token, body: { status: 'disabled' } }
    return (await cardea.client.send('PATCH', `/admin/accounts/${accountId}`, options)).status
  },
}

test.each(['a logout', 'disabling the account'] as const)(
  'R53 R55: no look-up that begins after %s was answered is let in there, nor elsewhere after the bound',
  async (how) => {
    const account = await cardea.createAccount()
    const token = await cardea.operatorToken()
    const session = await cardea.client.logInForCookie(account)
    const { status, late } = await lookAround(session, ends[how](session, account.id, token))
    expect([200, 204]).toContain(status)
    const here = late.filter(({ instance }) => instance === 0)
    expect(new Set(here.map((entry) => entry.status))).toEqual(new Set([401]))
    const afterBound = late.filter(({ sinceMs }) => sinceMs > boundMs)
    expect(afterBound.filter((entry) => entry.status !== 401)).toEqual([])
  },
)

test('a look-up that read the row before the end, and writes its copy after it, lets nobody in', async () => {
  const session = await cardea.client.logInForCookie(await cardea.createAccount())
  // Answers of Postgres to instance 1 come late; what they say was true when they were sent.
  proxy.slowDown({ toClientMs: 300 })
  const slow = cardea.clientOf(1).get('/session', { session })
  const ended = cardea.client.post('/logout', { session })
  expect((await ended).status).toBe(204)
  await slow
  proxy.slowDown({})
  expect(await statusOn(0, session)).toBe(401)
  await expect.poll(() => statusOn(1, session)).toBe(401)
  for (let round = 0; round < 20; round += 1) expect(await statusOn(round % 2, session)).toBe(401)
})

test.each([
  ['revoking', 'POST', () => '/admin/revoke', (sub: string) => ({ sub })],
  ['disabling', 'PATCH', (id: string) => `/admin/accounts/${id}`, () => ({ status: 'disabled' })],
] as const)(
  'R53 R55: %s an account takes its copies away: an instance that has not heard of it yet lets nobody in',
  async (_how, method, path, body) => {
    const near = await startCardea({ database })
    try {
      const account = await near.createAccount()
      const token = await near.operatorToken()
      const session = await near.client.logInForCookie(account)
      const { sessionId } = handleFields(session)
      const [copies] = near.instances.map(({ core }) => core.cookieSessions.cache)
      const copied = async () => {
        expect(await statusOn(0, session)).toBe(200)
        return copies?.read(sessionId)
      }
      await expect.poll(copied).toBeDefined()
      // The others hear of everything late, and go on calling themselves fresh until then.
      proxy.slowDown({ toClientMs: 500 })
      const options = { token, body: body(account.id) }
      expect((await near.client.send(method, path(account.id), options)).status).toBe(200)
      expect(await copies?.read(sessionId)).toBeUndefined()
      expect(await statusOn(0, session)).toBe(401)
    } finally {
      proxy.slowDown({})
      await near.stop()
    }
  },
)
