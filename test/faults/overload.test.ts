import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { type Cardea, startCardea } from '../support/cardea.ts'
import { quickSession } from '../support/quick-session.ts'
import { sqlAs } from '../support/sql.ts'

let cardea: Cardea

afterEach(() => cardea.stop())

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

test('R108: who is over a limit is refused before the hash queue, however full it is', async () => {
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

/** A client that never comes to the end of what it says, one byte at a time. */
const trickle = async (address: string, opening: string): Promise<Socket> => {
  const { hostname, port } = new URL(address)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  // What the service says before it closes has to be read for the end to be seen.
  socket.resume()
  await once(socket, 'connect')
  socket.write(opening)
  const timer = setInterval(() => socket.write('x'), 50)
  socket.once('close', () => clearInterval(timer))
  return socket
}

test('R126: 200 connections that trickle headers or bodies keep nobody from logging in, and are all closed', async () => {
  const timeouts = { headersMs: 2_000, requestMs: 2_500, answerMs: 3_000, checkEveryMs: 100 }
  cardea = await startCardea({ timeouts })
  const account = await cardea.createAccount()
  const { address } = cardea.client
  const host = `Host: ${new URL(address).host}\r\n`
  const inHeaders = `POST /login HTTP/1.1\r\n${host}X-Slow: `
  const inBody = `POST /login HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{`
  const sockets = await Promise.all(
    Array.from({ length: 200 }, (_, place) =>
      trickle(address, place % 2 === 0 ? inHeaders : inBody),
    ),
  )
  expect(sockets.filter(({ destroyed }) => destroyed)).toEqual([])
  for (let round = 0; round < 5; round += 1) {
    const { refreshToken } = await cardea.client.logIn(account)
    expect((await cardea.client.refresh(refreshToken)).status).toBe(200)
  }
  await vi.waitFor(() => expect(sockets.filter(({ destroyed }) => !destroyed)).toHaveLength(0), {
    timeout: 15_000,
    interval: 100,
  })
})
