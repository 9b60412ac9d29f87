import { describe, expect, test } from 'vitest'
import type { Clock } from '../../src/clock.ts'
import { createHttpFeedSource } from '../../src/feed/http-feed-source.ts'
import { createHttpClient, RequestFailed } from '../../src/http/http-client.ts'
import { FeedGapError } from '../../src/replica.ts'
import { systemClock } from '../../src/system-clock.ts'
import {
  encodeFeedBinary,
  encodeFeedJson,
  type FeedPage,
  feedBinaryMediaType,
} from '../../src/wire.ts'
import { type Answer, startJwksServer, startServer } from '../keys/jwks-server.ts'
import { newId } from '../tokens/signed-tokens.ts'

const page: FeedPage = {
  feedId: '7300000000000000001-1',
  cursor: '815',
  entries: [{ kind: 'jti', key: newId(), minEpoch: undefined, notAfter: 1_893_500_000 }],
}

const binary: Answer = {
  headers: { 'content-type': feedBinaryMediaType },
  body: Buffer.from(encodeFeedBinary(page)),
}

const json: Answer = {
  headers: { 'content-type': 'application/json; charset=utf-8' },
  body: encodeFeedJson(page),
}

const client = { id: 'orders', secret: 'a secret: of + %' }
/** The entries of a binary page are read when they are asked for. */
const plain = (answer: FeedPage) => ({ ...answer, entries: Array.from(answer.entries) })

const never = new AbortController().signal
const http = createHttpClient({ fetch: globalThis.fetch, clock: systemClock })
const sourceAt = (endpoint: string, clock: Pick<Clock, 'nowMs'> = systemClock) => {
  const differences: string[] = []
  const onClockDiffers = ({ message }: Error) => differences.push(message)
  const source = createHttpFeedSource({ http, endpoint, client, clock, onClockDiffers })
  return { ...source, differences }
}

/** All messages of an error and its causes. */
const messagesOf = (error: unknown): string =>
  error instanceof Error ? `${error.message}\n${messagesOf(error.cause)}` : ''

describe('the feed over HTTP', () => {
  test('asks for a snapshot as a service client, in binary if it can be had', async () => {
    const server = await startJwksServer(binary)
    expect(plain(await sourceAt(server.url).snapshot(never))).toEqual(page)
    const [request] = server.requests
    expect(request?.method).toBe('GET')
    expect(request?.url).toBe('/revocations/snapshot')
    expect(request?.headers.accept).toBe(`${feedBinaryMediaType}, application/json;q=0.5`)
    const [scheme, credential = ''] = (request?.headers.authorization ?? '').split(' ')
    expect(scheme).toBe('Basic')
    // Form-encoded before they are joined (RFC 6749 section 2.3.1).
    const [id = '', secret = ''] = Buffer.from(credential, 'base64').toString().split(':')
    expect([decodeURIComponent(id), decodeURIComponent(secret)]).toEqual([client.id, client.secret])
  })

  test('sends the cursor as it is and says how long the answer may be held', async () => {
    const server = await startJwksServer(binary)
    const { changes } = sourceAt(`${server.url}/auth`)
    expect(plain(await changes('8 1&5=', 1, never))).toEqual(page)
    const url = new URL(server.requests[0]?.url ?? '', server.url)
    expect(url.pathname).toBe('/auth/revocations')
    expect(Object.fromEntries(url.searchParams)).toEqual({ cursor: '8 1&5=', wait: '1' })
  })

  test('takes JSON where the other side has nothing else', async () => {
    const server = await startJwksServer(json)
    expect(plain(await sourceAt(server.url).snapshot(never))).toEqual(page)
    expect(plain(await sourceAt(server.url).changes('1', 0, never))).toEqual(page)
  })

  test('R76: tells the replica to start over when the cursor is no longer known', async () => {
    const server = await startJwksServer({ status: 410 })
    await expect(sourceAt(server.url).changes('1', 0, never)).rejects.toBeInstanceOf(FeedGapError)
  })

  test('fails for everything else, and never shows the secret', async () => {
    const server = await startJwksServer(undefined)
    const answers: Answer[] = [
      { status: 401 },
      { status: 403 },
      { status: 404 },
      { status: 500 },
      { status: 503 },
      { status: 204 },
      { status: 302, headers: { location: '/revocations/snapshot' } },
      { ...json, headers: { 'content-type': 'text/html' } },
      { ...json, headers: {} },
    ]
    for (const answer of answers) {
      server.answer.now = answer
      const error: unknown = await sourceAt(server.url)
        .snapshot(never)
        .catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(RequestFailed)
      expect(messagesOf(error)).not.toContain(client.secret)
      expect(messagesOf(error)).not.toContain(Buffer.from(client.secret).toString('base64'))
    }
    server.answer.now = { status: 401 }
    await expect(sourceAt(server.url).snapshot(never)).rejects.toThrow('client id and secret')
  })

  test('ends a request that is under way when its signal aborts', async () => {
    const server = await startJwksServer(undefined)
    const stop = new AbortController()
    const outcome = sourceAt(server.url)
      .changes('1', 1, stop.signal)
      .catch((reason: unknown) => reason)
    await expect.poll(() => server.requests.length).toBe(1)
    stop.abort(new Error('enough'))
    expect(await outcome).toBeInstanceOf(RequestFailed)
  })
})

describe('the clocks', () => {
  /** Asks with a clock that is off by so much. */
  const withClock = async () => {
    let offMs = 0
    const server = await startJwksServer(binary)
    const source = sourceAt(server.url, { nowMs: () => systemClock.nowMs() + offMs })
    const askWith = async (ms: number) => {
      offMs = ms
      await source.changes('1', 0, never)
    }
    return { askWith, differences: source.differences }
  }

  test.each([
    ['behind', -600_000, /^the clock is (599|600|601) s behind that of the feed$/],
    ['ahead', 600_000, /^the clock is (599|600|601) s ahead of that of the feed$/],
  ])(
    'one that is ten minutes %s is told once, and again after it was right',
    async (_what, ms, message) => {
      const { askWith, differences } = await withClock()
      await askWith(0)
      await askWith(ms / 30)
      expect(differences).toEqual([])
      await askWith(ms)
      await askWith(ms)
      expect(differences).toEqual([expect.stringMatching(message)])
      await askWith(0)
      await askWith(ms)
      expect(differences.length).toBe(2)
    },
  )

  test('are not compared by an answer without a date, or with one that is none', async () => {
    for (const date of ['', 'yesterday']) {
      const server = await startServer((_request, response) => {
        response.sendDate = false
        if (date !== '') response.setHeader('date', date)
        response.setHeader('content-type', feedBinaryMediaType).end(binary.body)
      })
      const source = sourceAt(server.url, { nowMs: () => 0 })
      await source.snapshot(never)
      expect(source.differences).toEqual([])
    }
  })

  test('are not said to differ because an answer took its time', async () => {
    let nowMs = systemClock.nowMs()
    const server = await startServer((_request, response) => {
      response.writeHead(200, { 'content-type': feedBinaryMediaType })
      nowMs += 60_000
      response.end(binary.body)
    })
    const source = sourceAt(server.url, { nowMs: () => nowMs })
    await source.snapshot(never)
    expect(source.differences).toEqual([])
  })
})

describe('an answer', () => {
  const get = (url: string, maxBytes: number, timeoutMs = 30_000) =>
    http({ method: 'GET', url, headers: {}, timeoutMs, maxBytes })

  test('longer than allowed is given up, whatever it says of its length', async () => {
    const server = await startServer((_request, response) => {
      response.writeHead(200)
      const pour = (): void => {
        while (response.write(Buffer.alloc(10_000)));
        response.once('drain', pour)
      }
      pour()
    })
    await expect(get(server.url, 100_000)).rejects.toThrow(RequestFailed)
  })

  test('of exactly the allowed length is taken', async () => {
    const server = await startJwksServer({ body: 'x'.repeat(1000) })
    expect((await get(server.url, 1000)).body.length).toBe(1000)
    await expect(get(server.url, 999)).rejects.toThrow(RequestFailed)
  })

  test('that stops in the middle is given up after the time limit', async () => {
    const server = await startServer((_request, response) => {
      response.writeHead(200)
      response.write('the first half')
    })
    const error: unknown = await get(server.url, 1000, 50).catch((reason: unknown) => reason)
    expect(messagesOf(error)).toContain('no response within 50 ms')
    expect(error).toHaveProperty('cause.name', 'CallTimeout')
  })
})
