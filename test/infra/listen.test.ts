import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { type Listening, type ListenOptions, listen } from '../../src/infra/postgres/listen.ts'
import {
  type FreshDatabase,
  freshDatabase,
  startPostgres,
} from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { startTcpProxy } from '../support/servers/tcp-proxy.ts'

let database: FreshDatabase
let heard: string[]
let connections: number
let errors: unknown[]
let listening: Listening | undefined

beforeAll(async () => {
  database = await freshDatabase()
})
afterAll(() => database.drop())
beforeEach(() => {
  heard = []
  connections = 0
  errors = []
})
afterEach(() => listening?.stop())

const start = async (url: string, options: Partial<ListenOptions> = {}): Promise<void> => {
  listening = listen({
    url,
    channel: 'news',
    onNotice: (payload) => heard.push(payload),
    onConnect: () => {
      connections += 1
    },
    onError: (error) => errors.push(error),
    fraction: () => 0.5,
    ...options,
  })
  await vi.waitFor(() => expect(connections).toBe(1))
}

const say = (text: string) => sqlAs(database.ownerUrl)(`SELECT pg_notify('news', $1)`, [text])

const breakConnection = () =>
  sqlAs(database.ownerUrl)(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'cardea listening' AND datname = current_database()`,
  )

test('what is said on the channel is heard, and nothing of another', async () => {
  await start(database.appUrl)
  await sqlAs(database.ownerUrl)(`SELECT pg_notify('gossip', 'no')`)
  await say('one')
  await say('two')
  await vi.waitFor(() => expect(heard).toEqual(['one', 'two']))
})

test('a connection that breaks is made again, each time it does, and each outage is reported once', async () => {
  await start(database.appUrl)
  for (const round of [2, 3]) {
    await breakConnection()
    await vi.waitFor(() => expect(connections).toBe(round))
    await say(`round ${round}`)
    await vi.waitFor(() => expect(heard.at(-1)).toBe(`round ${round}`))
  }
  expect(errors).toHaveLength(2)
})

test('a server that is away is tried again until it is there, and that is reported once', async () => {
  const proxy = await startTcpProxy(database.appUrl)
  await start(proxy.through(database.appUrl))
  await proxy.stop()
  await vi.waitFor(() => expect(errors).toHaveLength(1))
  const back = await startTcpProxy(database.appUrl, undefined, proxy.port)
  await vi.waitFor(() => expect(connections).toBe(2))
  await say('back')
  await vi.waitFor(() => expect(heard).toEqual(['back']))
  expect(errors).toHaveLength(1)
  await listening?.stop()
  await back.stop()
})

test('stopping ends the connection, and ends too when Postgres answers nothing any more', async () => {
  await start(database.appUrl)
  await listening?.stop()
  await say('too late')
  const gone = async () => {
    const rows = await sqlAs(database.ownerUrl)(
      `SELECT 1 FROM pg_stat_activity WHERE application_name = 'cardea listening' AND datname = current_database()`,
    )
    expect(rows).toEqual([])
  }
  await vi.waitFor(gone)
  expect(heard).toEqual([])

  const own = await startPostgres()
  connections = 0
  await start(own.appUrl, {})
  await own.freeze()
  await listening?.stop()
  await own.thaw()
  await own.stop()
  expect(errors).toEqual([])
})

test('a channel that is no plain name is refused at once', () => {
  for (const channel of ['', 'News', 'a b', 'a;DROP TABLE x', '"a"']) {
    expect(() => listen({ channel } as ListenOptions), channel).toThrow(TypeError)
  }
})
