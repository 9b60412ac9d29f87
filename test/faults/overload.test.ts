import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterEach, expect, inject, test, vi } from 'vitest'
import { keepBusy } from '../support/run/keep-busy.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { sqlAs } from '../support/servers/sql.ts'
import { isOfRequests, statementCounter } from '../support/servers/statement-counter.ts'
import { startTcpProxy } from '../support/servers/tcp-proxy.ts'
import { type Cardea, startCardea, testPassword } from '../support/service/cardea.ts'
import { quickSession } from '../support/service/quick-session.ts'

let cardea: Cardea
/** What a test put before its stores. */
const atEnd: (() => Promise<void>)[] = []

afterEach(async () => {
  await cardea.stop()
  for (const end of atEnd.splice(0).reverse()) await end()
})

test('R108: a flood of logins beyond the queue is refused with 503 before any hashing, while refreshes go on', async () => {
  cardea = await startCardea({ config: { hashConcurrency: 1, hashQueue: 4 } })
  const { id } = await cardea.createAccount()
  const sessions = await Promise.all(Array.from({ length: 10 }, () => quickSession(cardea, id)))
  const flood = Array.from({ length: 100 }, (_, place) => {
    const body = { email: `flood-${place}@example.com`, password: 'a wrong password 123' }
    return cardea.client.post('/login', { body })
  })
  const refreshed = await Promise.all(
    sessions.map(({ refreshToken }) => cardea.client.refresh(refreshToken)),
  )
  const answers = await Promise.all(flood)
  expect(refreshed.map(({ status }) => status)).toEqual(sessions.map(() => 200))
  const judged = answers.filter(({ status }) => status === 401)
  const refused = answers.filter(({ status }) => status === 503)
  expect(judged.length + refused.length).toBe(answers.length)
  expect(judged.length).toBeGreaterThanOrEqual(5)
  expect(refused.length).toBeGreaterThan(0)
  for (const { body, headers } of refused) {
    expect(body.code).toBe('server_busy')
    expect(headers.get('retry-after')).toBe('1')
  }
  // Who was refused was not judged: only a login that was hashed leaves an entry.
  const failed = "SELECT 1 FROM audit_events WHERE event = 'login_failed'"
  expect(await sqlAs(cardea.stores.migrateUrl)(failed)).toHaveLength(judged.length)
})

test('R108: who is over a limit takes no place in the hash queue', async () => {
  // No place in the queue at all: a login that got as far as the hash beside another would be refused as busy.
  const config = { hashConcurrency: 1, hashQueue: 0, loginFailuresPerSource: 1 }
  cardea = await startCardea({ config, redisUrl: null })
  const guess = (name: string) => {
    const body = { email: `${name}@example.com`, password: 'a wrong password 123' }
    return cardea.client.post('/login', { body })
  }
  expect((await guess('first')).status).toBe(401)
  const answers = await Promise.all(Array.from({ length: 30 }, (_, place) => guess(`n${place}`)))
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([429]))
})

test('R108: a login that finds the hash queue full costs no command of Redis and no statement of Postgres, whoever it names', async () => {
  const database = await freshDatabase()
  atEnd.push(database.drop)
  const statements = statementCounter(isOfRequests)
  const postgres = await startTcpProxy(database.appUrl, statements.observe)
  atEnd.push(postgres.stop)
  let counted = 0
  const onClientBytes = (bytes: Buffer) => {
    if (bytes.includes('cardea:limit')) counted += 1
  }
  const redis = await startTcpProxy(inject('redisUrl'), () => ({ onClientBytes }))
  atEnd.push(redis.stop)
  cardea = await startCardea({
    config: { hashConcurrency: 1, hashQueue: 4 },
    database: { ownerUrl: database.ownerUrl, appUrl: postgres.through(database.appUrl) },
    redisUrl: redis.through(inject('redisUrl')),
  })
  const { email } = await cardea.createAccount()
  const logIn = async (name: string) => {
    statements.take()
    counted = 0
    const body = { email: name, password: testPassword }
    const answer = await cardea.client.post('/login', { body })
    return { code: answer.body.code, counted, statements: statements.take().Execute }
  }
  const admitted = await logIn(email)
  expect(Math.min(admitted.counted, admitted.statements)).toBeGreaterThan(0)
  let isOver = false
  const others = keepBusy(cardea, () => isOver)
  try {
    for (const name of [email, 'nobody@example.com']) {
      expect(await logIn(name)).toEqual({ code: 'server_busy', counted: 0, statements: 0 })
    }
  } finally {
    isOver = true
    await others
  }
})

/** A client that never comes to the end of what it says, one byte at a time. */
const trickle = async (address: string, opening: string): Promise<Socket> => {
  const { hostname, port } = new URL(address)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  // What the service says before it closes has to be read for the end to be seen.
  socket.resume()
  await once(socket, 'connect')
  socket.write(opening)
  const timer = setInterval(() => socket.write('x'), 500)
  socket.once('close', () => clearInterval(timer))
  return socket
}

/** The server behind the first instance, as the next request to it tells. */
const httpServerOf = async ({ client }: Cardea): Promise<Server> => {
  const begins = 'http.server.request.start'
  return await new Promise((resolve) => {
    const look = (message: unknown) => {
      const { server } = message as { server: Server }
      const address = server.address()
      if (typeof address !== 'object' || address?.port !== Number(new URL(client.address).port)) {
        return
      }
      unsubscribe(begins, look)
      resolve(server)
    }
    subscribe(begins, look)
    void client.get('/health/live')
  })
}

const trickling = 2000

/** Not more at once than wait to be accepted: the rest would have to try again. */
const atOnce = 200

// Both ends of every connection are in this process, which needs 4,000 descriptors: with a lower `ulimit -Hn` it fails with EMFILE.
test('R126: 2000 connections that trickle headers or bodies keep nobody from logging in, and are all closed', async () => {
  cardea = await startCardea({ timeouts: { checkEveryMs: 100 } })
  const server = await httpServerOf(cardea)
  const account = await cardea.createAccount()
  const { address } = cardea.client
  const host = `Host: ${new URL(address).host}\r\n`
  const inHeaders = `POST /login HTTP/1.1\r\n${host}X-Slow: `
  const inBody = `POST /login HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{`
  const sockets: Socket[] = []
  while (sockets.length < trickling) {
    const opened = Array.from({ length: atOnce }, (_, place) =>
      trickle(address, place % 2 === 0 ? inHeaders : inBody),
    )
    sockets.push(...(await Promise.all(opened)))
  }
  const isOpen = ({ destroyed }: Socket) => !destroyed
  expect(sockets.filter(isOpen)).toHaveLength(trickling)
  for (let round = 0; round < 5; round += 1) {
    const { refreshToken } = await cardea.client.logIn(account)
    expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
  }
  expect(sockets.filter(isOpen)).toHaveLength(trickling)
  // Only now: on a slow machine the first would have been closed before the last had come.
  Object.assign(server, { headersTimeout: 100, requestTimeout: 200 })
  await vi.waitFor(() => expect(sockets.filter(isOpen)).toHaveLength(0), {
    interval: 100,
  })
})
