import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { Delivery } from '../../src/sessions/index.ts'
import { firstOperatorEmail, printedPassword } from '../support/programs/child-service.ts'
import { holdAccounts } from '../support/servers/hold-rows.ts'
import { sqlAs } from '../support/servers/sql.ts'
import {
  type Cardea,
  type CardeaOptions,
  startCardea,
  testPassword,
} from '../support/service/cardea.ts'
import { type Client, httpClient } from '../support/service/client.ts'
import { type CountedHashing, startCountedHashing } from '../support/service/counted-hashing.ts'
import { quickSession } from '../support/service/quick-session.ts'
import { serviceOnDatabase } from '../support/service/service-on-database.ts'

const times = <T>(length: number, make: (place: number) => T): T[] =>
  Array.from({ length }, (_, place) => make(place))

const dial = async (address: string): Promise<Socket> => {
  const { hostname, port } = new URL(address)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}

type Wanted = {
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

const requestText = (address: string, { path, headers = {}, body = '' }: Wanted): string => {
  const all = {
    host: new URL(address).host,
    'content-type': 'application/json',
    'content-length': String(body.length),
    ...headers,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return `POST ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`
}

/** Resolves when the request is on its way and its connection is closed: nobody waits for the response. */
const sendAndLeave = async (address: string, wanted: Wanted): Promise<void> => {
  const socket = await dial(address)
  await new Promise((resolve) => socket.write(requestText(address, wanted), resolve))
  socket.destroy()
  await once(socket, 'close')
}

const cookie = (handle: string) => ({ cookie: `__Host-cardea-refresh=${handle}` })

const byCookie = (handle: string): Wanted => ({ path: '/refresh', headers: cookie(handle) })

const byBody = (handle: string): Wanted => ({
  path: '/refresh',
  body: JSON.stringify({ refresh_token: handle }),
})

const byGrant = (handle: string): Wanted => ({
  path: '/oauth/token',
  headers: { 'content-type': 'application/x-www-form-urlencoded' },
  body: String(new URLSearchParams({ grant_type: 'refresh_token', refresh_token: handle })),
})

const endedIn = async (ownerUrl: string): Promise<number> =>
  (await sqlAs(ownerUrl)('SELECT 1 FROM sessions WHERE ended_at IS NOT NULL')).length

type Person = {
  /** Two generations before the newest. */
  readonly oldest: string
  readonly newest: string
  readonly refresh: Client['refresh']
  readonly request: (handle: string) => Wanted
}

const successor = async (refresh: Client['refresh'], handle: string): Promise<string> => {
  const { refreshCookie, body } = await refresh(handle)
  return refreshCookie ?? body.refresh_token
}

const newPerson = async (
  client: Client,
  who: Parameters<Client['logIn']>[0],
  delivery: Delivery,
): Promise<Person> => {
  const { refreshToken: oldest } = await client.logIn(who, { delivery })
  const refresh = delivery === 'cookie' ? client.refresh : client.refreshByBody
  const newest = await successor(refresh, await successor(refresh, oldest))
  return { oldest, newest, refresh, request: delivery === 'cookie' ? byCookie : byBody }
}

const frozenMs = 3_000

test('R46: a process that was frozen for seconds logs nobody out for those who left meanwhile, and serves those who stayed', async () => {
  const home = await serviceOnDatabase({
    CARDEA_SECRET: 'a-secret-of-the-frozen-process-of-the-tests',
    LOG_LEVEL: 'debug',
  })
  onTestFinished(home.remove)
  const service = await home.start()
  const client = httpClient(home.address)
  const operator = { email: firstOperatorEmail, password: printedPassword(service) }
  const people: Person[] = []
  for (const place of times(10, (at) => at)) {
    people.push(await newPerson(client, operator, place % 2 === 0 ? 'cookie' : 'body'))
  }
  const { refreshToken: loggedOut } = await client.logIn(operator)
  const { refreshToken: kept } = await client.logIn(operator)

  service.signal('SIGSTOP')
  await Promise.all(
    people.map(({ oldest, request }) => sendAndLeave(home.address, request(oldest))),
  )
  await sendAndLeave(home.address, { path: '/logout', headers: cookie(loggedOut) })
  const stayed = client.refresh(kept)
  // Two requests on one connection, one behind the other.
  const pipeline = await dial(home.address)
  let received = ''
  pipeline.on('data', (bytes: Buffer) => {
    received += bytes.toString()
  })
  const live = `GET /health/live HTTP/1.1\r\nHost: ${new URL(home.address).host}\r\n\r\n`
  pipeline.write(live + live)
  await pause(frozenMs)
  service.signal('SIGCONT')

  expect((await stayed).status).toBe(200)
  await vi.waitFor(() => expect(received.split('{"status":"live"}')).toHaveLength(3))
  pipeline.destroy()
  // Each of those who left was dropped, or has cost somebody their session.
  const dropped = () => service.stdout().split('"event":"caller_gone"').length - 1
  await vi.waitFor(
    async () => {
      const ended = await endedIn(home.database.ownerUrl)
      expect(dropped() + ended).toBeGreaterThanOrEqual(people.length + 1)
    },
    { interval: 100 },
  )
  const answers = await Promise.all(people.map(({ newest, refresh }) => refresh(newest)))
  expect(answers.map(({ status }) => status)).toEqual(people.map(() => 200))
  // A logout is carried out also for somebody who has gone: that is what they wanted.
  expect((await client.refresh(loggedOut)).body.reason).toBe('logout')
  expect(service.stdout()).toContain('"event":"process_stalled"')
})

const startOne = async (config: NonNullable<CardeaOptions['config']>): Promise<Cardea> => {
  const cardea = await startCardea({ config })
  onTestFinished(cardea.stop)
  return cardea
}

test.each([
  ['in a cookie', 'cookie', byCookie],
  ['in a body', 'body', byBody],
  ['as an OAuth grant', 'body', byGrant],
] as const)(
  'R41: an old handle %s ends no session on the word of a caller who has gone, and ends it for one who waits',
  async (_how, delivery, request) => {
    const cardea = await startOne({ logLevel: 'debug', refreshGraceSeconds: 0 })
    const { client, log, stores } = cardea
    const { id } = await cardea.createAccount()
    const { refreshToken: oldest } = await quickSession(cardea, id, { delivery })
    const refresh = delivery === 'cookie' ? client.refresh : client.refreshByBody
    const next = (handle: string) => successor(refresh, handle)
    const newest = await next(await next(oldest))
    await sendAndLeave(client.address, request(oldest))
    const isJudged = () =>
      log.some((line) => /"caller_gone"|"session_ended"|"invalid_grant"/.test(line))
    await vi.waitUntil(isJudged)
    const reuse = "SELECT 1 FROM audit_events WHERE event = 'token_reuse'"
    expect(await sqlAs(stores.migrateUrl)(reuse)).toHaveLength(0)
    expect(await endedIn(stores.migrateUrl)).toBe(0)
    const current = await next(newest)
    expect((await refresh(oldest)).body.reason).toBe('token_reuse')
    expect((await refresh(current)).body.reason).toBe('token_reuse')
  },
)

test('R41: an orphaned session cookie ends no session on the word of a caller who has gone, and ends it for one who waits', async () => {
  const cardea = await startOne({ logLevel: 'debug', refreshGraceSeconds: 0 })
  const { client, log, stores } = cardea
  const account = await cardea.createAccount()
  const first = await client.logInForCookie(account)
  const body = { password: account.password }
  const stepUp = () => client.post('/session/reauthenticate', { session: first, body })
  const orphan = (await stepUp()).sessionCookie ?? ''
  // Its response is believed lost.
  expect((await stepUp()).status).toBe(200)
  const headers = { cookie: `__Host-cardea-session=${orphan}` }
  await sendAndLeave(client.address, { path: '/session/reauthenticate', headers, body: '{}' })
  await vi.waitUntil(() => log.some((line) => line.includes('"invalid_session"')))
  expect(await endedIn(stores.migrateUrl)).toBe(0)
  expect((await client.get('/session', { session: orphan })).body.reason).toBe('token_reuse')
  expect(await endedIn(stores.migrateUrl)).toBe(1)
})

test('R108: of a storm of logins only those are hashed whose clients are still there', async () => {
  const cardea = await startOne({ hashConcurrency: 1, hashQueue: 200 })
  const { client, computed, stop } = await startCountedHashing(cardea)
  onTestFinished(stop)
  const accounts = await Promise.all(times(8, () => cardea.createAccount()))
  const held = await holdAccounts(cardea.stores.migrateUrl)
  onTestFinished(() => held.release().catch(() => undefined))
  const leaving = (place: number): Wanted => ({
    path: '/login',
    body: JSON.stringify({ email: `left-${place}@example.com`, password: testPassword }),
  })
  await Promise.all(times(60, (place) => sendAndLeave(client.address, leaving(place))))
  const staying = accounts.map((one) =>
    client.post('/login', { body: { email: one.email, password: one.password } }),
  )
  // Two look-ups of those who left are under way; a request that comes after the closes of all others is answered after them.
  await held.whenWaiting(2)
  await client.get('/health/live')
  await held.release()
  const answers = await Promise.all(staying)
  expect(answers.map(({ status }) => status)).toEqual(accounts.map(() => 200))
  const { length } = computed().checks
  expect(length).toBeGreaterThanOrEqual(accounts.length)
  expect(length).toBeLessThanOrEqual(accounts.length + 2)
  // Whoever left has neither a session nor a failure.
  const failed = "SELECT 1 FROM audit_events WHERE event = 'login_failed'"
  expect(await sqlAs(cardea.stores.migrateUrl)(failed)).toHaveLength(0)
})

/** Requests on their way whose connections the test can reset, which waits until the service has noticed. */
const leavers = (address: string) => {
  const begins = 'http.server.request.start'
  const marked: Socket[] = []
  const look = (message: unknown): void => {
    const { request } = message as { request: IncomingMessage }
    if (request.headers['user-agent'] === 'leaver') marked.push(request.socket)
  }
  subscribe(begins, look)
  onTestFinished(async () => void unsubscribe(begins, look))
  const sockets: Socket[] = []
  return {
    send: async (wanted: Wanted): Promise<void> => {
      const socket = await dial(address)
      socket.write(
        requestText(address, { ...wanted, headers: { ...wanted.headers, 'user-agent': 'leaver' } }),
      )
      sockets.push(socket)
    },
    reset: async (): Promise<void> => {
      for (const socket of sockets) socket.resetAndDestroy()
      await vi.waitUntil(
        () => marked.length === sockets.length && marked.every(({ destroyed }) => destroyed),
      )
    },
  }
}

const isQueueFull = ({ hasher }: CountedHashing): boolean => {
  try {
    hasher.assertQueueCapacity()
    return false
  } catch {
    return true
  }
}

const stateOf = async ({ stores }: Cardea) => {
  const [state] = await sqlAs(stores.migrateUrl)<object>(`SELECT
    (SELECT count(*)::integer FROM sessions) AS sessions, (SELECT max(generation) FROM sessions) AS generation,
    (SELECT count(*)::integer FROM sessions WHERE ended_at IS NOT NULL) AS ended,
    (SELECT max(failed_logins) FROM accounts) AS failures,
    (SELECT count(*)::integer FROM audit_events WHERE event = 'login_failed') AS failed`)
  return state
}

test.each([
  ['skips them at their turn', 0],
  ['gives their places to those who come meanwhile', 3],
])(
  'R108: of callers who reset their connections while they wait for a hash the queue %s: no hash, no session, no failure',
  async (_what, newcomers) => {
    // One is hashed, and the queue is full: three who stay and three who leave.
    const cardea = await startOne({ hashConcurrency: 1, hashQueue: 6 })
    let finish: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      finish = resolve
    })
    let hashed = 0
    const counted = await startCountedHashing(cardea, () => {
      hashed += 1
      return held
    })
    onTestFinished(counted.stop)
    onTestFinished(() => finish())
    const { client } = counted
    const accounts = await Promise.all(times(4 + newcomers, () => cardea.createAccount()))
    const [leaver, ...stayers] = accounts.map(({ email, password }) => ({ email, password }))
    const session = await cardea.client.logInForCookie(leaver ?? { email: '', password: '' })
    const logIn = (body: unknown) => client.post('/login', { body })
    const leaving = leavers(client.address)
    const headers = { cookie: `__Host-cardea-session=${session}` }
    const byPassword = (path: string, body: object) =>
      leaving.send({ path, headers, body: JSON.stringify(body) })
    // The hash of the first is under way when its caller leaves, and cannot be stopped.
    await byPassword('/login', leaver ?? {})
    await vi.waitUntil(() => hashed === 1)
    const staying = stayers.slice(0, 3).map(logIn)
    await byPassword('/login', leaver ?? {})
    await byPassword('/login', { email: 'nobody@example.com', password: testPassword })
    await byPassword('/session/reauthenticate', { password: testPassword })
    await vi.waitUntil(() => isQueueFull(counted))

    await leaving.reset()
    staying.push(...stayers.slice(3).map(logIn))
    if (newcomers > 0) await vi.waitUntil(() => isQueueFull(counted))
    finish()
    const answers = await Promise.all(staying)
    expect(answers.map(({ status }) => status)).toEqual(stayers.map(() => 200))
    expect(hashed).toBe(1 + stayers.length)
    // A session of each who stayed, and the one that the browser of the leaver had.
    const rows = { sessions: 1 + stayers.length, generation: 0, ended: 0 }
    expect(await stateOf(cardea)).toEqual({ ...rows, failures: 0, failed: 0 })
    expect((await cardea.client.get('/session', { session })).status).toBe(200)
  },
)
