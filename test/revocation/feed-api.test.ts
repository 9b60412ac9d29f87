import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  decodeFeedBinary,
  decodeFeedJson,
  type FeedPage,
  feedBinaryMediaType,
} from '../../packages/verifier/src/wire.ts'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { holdRevocations } from '../support/servers/hold-rows.ts'
import {
  type FreshDatabase,
  freshDatabase,
  type PostgresServer,
  startPostgres,
} from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { statementCounter } from '../support/servers/statement-counter.ts'
import { startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'
import { writeElsewhere } from '../support/servers/write-elsewhere.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import type { Answer, Client } from '../support/service/client.ts'
import { newServiceClient } from '../support/service/service-client.ts'

let server: PostgresServer
let cardea: Cardea
let authorization: string
let operator: string
let elsewhere: Awaited<ReturnType<typeof writeElsewhere>>

beforeAll(async () => {
  server = await startPostgres({ autovacuum: 'off', max_connections: '100' })
  cardea = await startCardea({ instances: 2, database: server })
  authorization = (await newServiceClient(cardea)).authorization
  operator = await cardea.operatorToken()
  // All that follows must hold while somebody else writes for hours.
  elsewhere = await writeElsewhere(server.ownerUrl)
})
afterAll(async () => {
  await elsewhere.end()
  await cardea.stop()
  await server.stop()
})

const ask = (path: string, client: Client = cardea.client): Promise<Answer> =>
  client.get(`/revocations${path}`, { headers: { authorization } })

const pageOf = ({ status, text }: Answer): FeedPage => {
  expect(status, text).toBe(200)
  return decodeFeedJson(text)
}

const snapshot = async (client?: Client) => pageOf(await ask('/snapshot', client))
const changes = async (cursor: string, wait = 0, client?: Client) =>
  pageOf(await ask(`?cursor=${cursor}&wait=${wait}`, client))

const revoke = async (body: object, client = cardea.client): Promise<void> => {
  const answer = await client.post('/admin/revoke', { token: operator, body })
  expect(answer.status).toBe(200)
}

const revokeSomeToken = async (client?: Client): Promise<string> => {
  const jti = newId(systemRandom)
  await revoke({ jti, reason: 'the dog ate it' }, client)
  return jti
}

const keysIn = ({ entries }: FeedPage): string[] => [...entries].map(({ key }) => key)

describe('the feed', () => {
  test('R80: without the credentials of a service client nothing is told, a good access token included', async () => {
    const { accessToken } = await cardea.client.logIn(await cardea.createAccount())
    for (const path of ['/revocations/snapshot', '/revocations?cursor=0']) {
      for (const token of [undefined, accessToken, operator]) {
        const answer = await cardea.client.get(path, token === undefined ? {} : { token })
        expect(answer).toMatchObject({ status: 401, body: { code: 'missing_credentials' } })
        expect(answer.headers.get('www-authenticate')).toMatch(/^Basic realm="cardea"/)
      }
      const wrong = { authorization: `${authorization.slice(0, -4)}AAAA` }
      const answer = await cardea.client.get(path, { headers: wrong })
      expect(answer).toMatchObject({ status: 401, body: { code: 'invalid_client' } })
    }
  })

  test('R80: nothing personal is in it: ids, epochs and times, not who revoked nor why', async () => {
    const person = await cardea.createAccount()
    const { body } = await cardea.client.logIn(person)
    const before = await snapshot()
    await revoke({ email: person.email, reason: 'she said so' })
    for (const answer of [await ask('/snapshot'), await ask(`?cursor=${before.cursor}`)]) {
      expect(answer.text).toContain(person.id)
      for (const word of [person.email, person.email.split('@')[0], 'she said', 'operator']) {
        expect(answer.text).not.toContain(word)
      }
      expect(answer.text).not.toContain(body.session_id)
      expect(Object.keys(answer.body)).toEqual(['feed_id', 'cursor', 'entries'])
      for (const entry of answer.body.entries) {
        const known = ['kind', 'key', 'min_epoch', 'not_after']
        expect(Object.keys(entry).filter((name) => !known.includes(name))).toEqual([])
      }
    }
  })

  test('R70: what was revoked is in the next page and in every snapshot, on every instance, once it was answered', async () => {
    const before = await snapshot()
    const jti = await revokeSomeToken()
    for (const client of [cardea.clientOf(0), cardea.clientOf(1)]) {
      const next = await changes(before.cursor, 0, client)
      expect(next.feedId).toBe(before.feedId)
      expect(keysIn(next)).toEqual([jti])
      expect(keysIn(await snapshot(client))).toContain(jti)
      expect(keysIn(await changes(next.cursor, 0, client))).toEqual([])
    }
  })

  test('either form holds the same, is never kept by a cache, and JSON is for whoever does not name the other', async () => {
    const { cursor } = await snapshot()
    await revokeSomeToken()
    const inForm = async (path: string, accept: string) => {
      const response = await fetch(`${cardea.client.address}/revocations${path}`, {
        headers: { authorization, accept },
      })
      expect(response.headers.get('cache-control')).toBe('no-store')
      expect(response.headers.get('vary')).toBe('Origin, Accept')
      const type = response.headers.get('content-type')
      const bytes = new Uint8Array(await response.arrayBuffer())
      if (type !== feedBinaryMediaType) {
        expect(type).toMatch(/^application\/json/)
        return { form: 'json', page: decodeFeedJson(Buffer.from(bytes).toString()) }
      }
      const page = decodeFeedBinary(bytes)
      return { form: 'binary', page: { ...page, entries: [...page.entries] } }
    }
    for (const path of ['/snapshot', `?cursor=${cursor}`]) {
      const json = await inForm(path, '*/*')
      expect(json.form).toBe('json')
      expect([...json.page.entries].length).toBeGreaterThan(0)
      for (const accept of ['application/json', 'text/html', 'application/vnd.cardea', '']) {
        expect((await inForm(path, accept)).form, accept).toBe('json')
      }
      for (const accept of [
        feedBinaryMediaType,
        `application/json;q=0.5, ${feedBinaryMediaType.toUpperCase()} ;q=1`,
      ]) {
        const binary = await inForm(path, accept)
        expect(binary.form, accept).toBe('binary')
        expect(binary.page.entries).toEqual(json.page.entries)
        expect(binary.page.feedId).toBe(json.page.feedId)
      }
    }
  })

  test('R76: a cursor that this log did not give out is gone, and a request that is no question is refused', async () => {
    const { cursor } = await snapshot()
    const beyond = [`${BigInt(cursor.split('.')[0] ?? '') + 1_000_000n}`, `${cursor}.zzzz`]
    for (const unknown of [...beyond, 'x', '-1', '1.0', '1.', '', '18446744073709551616']) {
      const answer = await ask(`?cursor=${unknown}`)
      expect(answer, unknown).toMatchObject({ status: 410, body: { code: 'cursor_unknown' } })
      expect(answer.headers.get('cache-control')).toBe('no-store')
    }
    const malformed = ['', '?wait=1', `?cursor=${cursor}&wait=4`, `?cursor=${cursor}&wait=0.5`]
    const more = [`?cursor=${cursor}&wait=-1`, `?cursor=${cursor}&since=1`, `?cursor=1&cursor=2`]
    for (const query of [...malformed, ...more, `?cursor=${'1'.repeat(300)}`]) {
      expect((await ask(query)).status, query).toBe(400)
    }
  })

  test('who waits is answered when something is revoked, at this instance or at another', async () => {
    for (const [waiting, revoking] of [
      [0, 0],
      [0, 1],
      [1, 0],
    ] as const) {
      const { cursor } = await snapshot()
      const answer = changes(cursor, 3, cardea.clientOf(waiting))
      const jti = await revokeSomeToken(cardea.clientOf(revoking))
      expect(keysIn(await answer), `${revoking} to ${waiting}`).toEqual([jti])
    }
  })

  test('who waits in vain is answered too, with a page that says so', async () => {
    const { cursor, feedId } = await snapshot()
    const page = await changes(cursor, 1)
    expect([page.feedId, [...page.entries]]).toEqual([feedId, []])
    expect(keysIn(await changes(page.cursor))).toEqual([])
  })

  test('a cursor of the version before, a number alone, is continued: it gets all from the lowest transaction that ran', async () => {
    const before = (await snapshot()).cursor.split('.')[0] ?? ''
    const jti = await revokeSomeToken()
    const page = await changes(before)
    expect(keysIn(page)).toContain(jti)
    expect(keysIn(await changes(page.cursor))).toEqual([])
  })
})

describe('an instance whose statements are counted', () => {
  let database: FreshDatabase
  let proxy: TcpProxy
  let counted: Cardea
  let headers: { authorization: string }
  // Not the check of credentials, which every request makes until they are remembered.
  const counter = statementCounter((statement) => /revocation_|BEGIN|COMMIT/i.test(statement))

  beforeAll(async () => {
    database = await freshDatabase()
    proxy = await startTcpProxy(database.appUrl, counter.observe)
    counted = await startCardea({
      database: { ownerUrl: database.ownerUrl, appUrl: proxy.through(database.appUrl) },
      redisUrl: null,
      config: { databasePoolSize: 1 },
    })
    headers = { authorization: (await newServiceClient(counted)).authorization }
    // Its own reads would count, and the statement with which it begins to listen.
    const listens = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'`
    await vi.waitUntil(async () => (await sqlAs(database.ownerUrl)(listens)).length > 0)
    await counted.instances[0]!.core.revocations.replica.close()
  })
  afterAll(async () => {
    await proxy.stop()
    await database.drop()
  })

  const get = (path: string) => counted.client.get(`/revocations${path}`, { headers })

  /** So many at once, also on a machine that is slow to send them: the log is not read before all have arrived. */
  const getTogether = async (count: number, path: string): Promise<Answer[]> => {
    const begins = 'http.server.request.start'
    let begun = 0
    const note = () => {
      begun += 1
    }
    const held = await holdRevocations(database.ownerUrl)
    subscribe(begins, note)
    const answers = Promise.all(Array.from({ length: count }, () => get(path)))
    await vi.waitUntil(() => begun === count, { interval: 1 })
    unsubscribe(begins, note)
    await held.release()
    return await answers
  }

  test('serves fifty followers at once with a tenth of the statements at most, each of one round trip', async () => {
    const { body } = await get('/snapshot')
    const path = `?cursor=${body.cursor}`
    await get(path)
    for (const round of ['on new connections', 'on open ones']) {
      counter.take()
      const answers = await getTogether(50, path)
      for (const { status } of answers) expect(status).toBe(200)
      const { Parse, Bind, Execute, Sync, Query } = counter.take()
      expect({ Parse, Query }, round).toEqual({ Parse: 0, Query: 0 })
      expect([Bind, Sync], round).toEqual([Execute, Execute])
      expect(Execute, round).toBeGreaterThan(0)
      expect(Execute, round).toBeLessThanOrEqual(5)
    }
  })

  test('reads a snapshot in five round trips, and fifty at once share it', async () => {
    await get('/snapshot')
    counter.take()
    await get('/snapshot')
    // BEGIN, its isolation, the cursor, one batch, COMMIT.
    const alone = counter.take()
    expect(alone).toEqual({ Parse: 0, Bind: 5, Execute: 5, Sync: 5, Query: 0 })
    await getTogether(50, '/snapshot')
    expect(counter.take().Execute).toBeLessThanOrEqual(10 * alone.Execute)
  })

  test('asks nothing while its followers wait, and answers them at once when it stops', async () => {
    const { body } = await get('/snapshot')
    counter.take()
    const order: string[] = []
    const waiting = get(`?cursor=${body.cursor}&wait=3`).then(({ status }) => {
      order.push(`answered ${status}`)
    })
    await vi.waitFor(() => expect(counter.take().Execute).toBe(1), { interval: 1 })
    await counted.stop()
    order.push('stopped')
    await waiting
    expect(order).toEqual(['answered 200', 'stopped'])
  })
})
