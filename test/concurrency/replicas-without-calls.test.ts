import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { startVerifier, type VerifierProcess } from '../support/verifier/verifier-process.ts'
import { mintTokens, openingFor } from '../support/verifier/verifier-tokens.ts'

let cardea: Cardea
let verifier: VerifierProcess

beforeAll(async () => {
  cardea = await startCardea()
  verifier = await startVerifier(await openingFor(cardea))
  await verifier.call('ready')
})
afterAll(async () => {
  await verifier.stop()
  await cardea.stop()
})

/** What a follower asks all the time. It asks for news without waiting only when its lease is about to end: the process was slow. */
const question = /^GET \/revocations\?cursor=[\d.a-z]+&wait=[01]$/

test('what would be a call is noticed: a request that opens a connection, and one on an open connection', async () => {
  const url = `${cardea.client.address}/health/live`
  const first = await verifier.call('callsOfFetching', url.replace('127.0.0.1', 'localhost'))
  expect(first.requests.filter((request) => !question.test(request))).toEqual(['GET /health/live'])
  // A name was looked up, a socket opened.
  expect(first.opened).toEqual(
    expect.arrayContaining(['GETADDRINFOREQWRAP', 'net.client.socket', 'TCPWRAP']),
  )
})

test('R73: a FRESH verifier makes no call: 1,000 tokens that it never saw, and all of them again, open nothing and ask nobody', async () => {
  const tokens = (await mintTokens(cardea, 1_000)).map(({ token }) => token)
  for (const round of ['first time', 'second time']) {
    expect(await verifier.call('state'), round).toBe('FRESH')
    const begunMs = performance.now()
    const { requests, opened } = await verifier.call('callsOfVerifying', tokens)
    const seconds = (performance.now() - begunMs) / 1000
    expect(opened, round).toEqual([])
    // The one question that waits for news all the time, whether or not anybody is verified.
    expect(
      requests.filter((request) => !question.test(request)),
      round,
    ).toEqual([])
    // At most the follower's own two or so a second, however long a busy machine takes.
    expect(requests.length, round).toBeLessThan(Math.max(10, 3 * seconds))
  }
})
