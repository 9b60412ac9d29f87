import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { createHttpClient } from '../../src/http/http-client.ts'
import type { VerificationKey } from '../../src/index.ts'
import { fetchKeySetFrom } from '../../src/keys/fetch-key-set.ts'
import { followKeys } from '../../src/keys/follow-keys.ts'
import type { KeyEvent } from '../../src/keys/held-keys.ts'
import { manualClock } from '../replica/manual-clock.ts'
import { newKey } from '../tokens/signed-tokens.ts'
import { jwks, startJwksServer, startServer } from './jwks-server.ts'

const day = 24 * 60 * 60 * 1000
const [keyA, keyB, keyC] = await Promise.all([newKey(), newKey(), newKey()])
const unknownKid = (n: number): string => `${n}`.padStart(43, 'x')

/** Follows the keys at `url`; the time passes only when the test says so. */
const follow = (url: string) => {
  const clock = manualClock()
  const events: KeyEvent[] = []
  const http = createHttpClient({ fetch: globalThis.fetch, clock })
  const keys = followKeys({
    fetchKeySet: fetchKeySetFrom(http, url),
    clock,
    fraction: () => 0.5,
    onEvent: (event) => events.push(event),
  })
  onTestFinished(() => keys.close())
  const errors = () => events.filter(({ type }) => type === 'error').length
  return {
    keys,
    clock,
    events,
    errors,
    loaded: () => vi.waitUntil(() => keys.isLoaded()),
  }
}

type Looking = VerificationKey | undefined | Promise<VerificationKey | undefined>

const codeOf = async (look: () => Looking): Promise<string> => {
  try {
    return (await look()) === undefined ? 'unknown' : 'known'
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'other'
  }
}

describe('following the keys', () => {
  test('loads them at once, and answers for known kids without a request', async () => {
    const server = await startJwksServer(jwks([keyA.jwk, keyB.jwk]))
    const { keys, events, loaded } = follow(server.url)
    expect(await codeOf(() => keys.keyOf(keyA.kid))).toBe('keys_unavailable')
    await loaded()
    for (let count = 0; count < 100; count += 1) {
      expect(keys.keyOf(keyA.kid)).toMatchObject({ kid: keyA.kid, algorithm: 'ES256' })
    }
    expect(server.requests.map(({ url }) => url)).toEqual(['/.well-known/jwks.json'])
    expect(events).toEqual([{ type: 'keys', kids: [keyA.kid, keyB.kid] }])
    expect(keys.size()).toBe(2)
    expect(keys.ageMs()).toBe(0)
  })

  test('tries again soon while there are no keys at all, and less and less often', async () => {
    const server = await startJwksServer({ status: 503 })
    const { keys, clock, errors } = follow(server.url)
    for (let attempt = 1; attempt <= 6; attempt += 1) {
      await vi.waitUntil(() => errors() === attempt && clock.sleeping() === 1)
      await clock.advance(250 * 2 ** attempt)
      await vi.waitUntil(() => server.requests.length === attempt + 1)
    }
    server.answer.now = jwks([keyA.jwk])
    await vi.waitUntil(async () => {
      await clock.advance(1000)
      return keys.isLoaded()
    })
    expect(clock.monotonicMs()).toBeLessThan(90_000)
  })

  test('asks again within the age that the issuer allows, between one and ten minutes', async () => {
    for (const [cacheControl, leastMs, mostMs] of [
      ['public, max-age=300', 240_000, 300_000],
      ['max-age=1', 48_000, 60_000],
      ['no-store', 240_000, 300_000],
      ['public, max-age=86400', 480_000, 600_000],
    ] as const) {
      const server = await startJwksServer(jwks([keyA.jwk], { 'cache-control': cacheControl }))
      const { clock, loaded } = follow(server.url)
      await loaded()
      await vi.waitUntil(() => clock.sleeping() === 1)
      await clock.advance(leastMs - 1)
      expect(server.requests.length, cacheControl).toBe(1)
      await clock.advance(mostMs - leastMs + 1)
      await vi.waitUntil(() => server.requests.length === 2)
    }
  })

  test('R85: sends the ETag back, and takes a 304 for the same keys being current', async () => {
    const server = await startServer((request, response) => {
      const isKnown = request.headers['if-none-match'] === '"one"'
      response.writeHead(isKnown ? 304 : 200, {
        'content-type': 'application/jwk-set+json',
        etag: '"one"',
        'cache-control': 'max-age=300',
      })
      response.end(isKnown ? undefined : JSON.stringify({ keys: [keyA.jwk] }))
    })
    const { keys, clock, events, errors, loaded } = follow(server.url)
    await loaded()
    const before = keys.keyOf(keyA.kid)
    await vi.waitUntil(() => clock.sleeping() === 1)
    await clock.advance(300_000)
    await vi.waitUntil(() => server.requests.length === 2 && (keys.ageMs() ?? 1e9) < 100_000)
    expect(server.requests.map(({ headers }) => headers['if-none-match'])).toEqual([
      undefined,
      '"one"',
    ])
    expect(keys.keyOf(keyA.kid)).toBe(before)
    expect(errors()).toBe(0)
    expect(events.length).toBe(1)
  })

  test('stops when it is closed, also in the middle of a request', async () => {
    const server = await startJwksServer(undefined)
    const { keys, clock, events } = follow(server.url)
    await vi.waitUntil(() => server.requests.length === 1)
    await keys.close()
    expect(clock.sleeping()).toBe(0)
    expect(events).toEqual([])
  })
})

describe('an unknown kid', () => {
  test('R86: that was published meanwhile is fetched, once for all who ask', async () => {
    const server = await startJwksServer(jwks([keyA.jwk]))
    const { keys, clock, loaded } = follow(server.url)
    await loaded()
    server.answer.now = jwks([keyA.jwk, keyB.jwk])
    clock.suspend(30_000)
    const found = await Promise.all(Array.from({ length: 50 }, () => keys.keyOf(keyB.kid)))
    expect(new Set(found.map((key) => key?.kid))).toEqual(new Set([keyB.kid]))
    expect(server.requests.length).toBe(2)
  })

  test('R88: random kids cause at most one request in 30 s, and known kids keep verifying', async () => {
    const server = await startJwksServer(jwks([keyA.jwk]))
    const { keys, clock, loaded } = follow(server.url)
    await loaded()
    for (let second = 0; second < 120; second += 1) {
      for (let count = 0; count < 20; count += 1) {
        expect(await codeOf(() => keys.keyOf(unknownKid(second * 20 + count)))).toBe('unknown')
      }
      expect(await codeOf(() => keys.keyOf(keyA.kid))).toBe('known')
      clock.suspend(1000)
    }
    // At 0 (the first load), 30, 60 and 90 s.
    expect(server.requests.length).toBe(4)
  })

  test('R88: also while the endpoint fails, which is an answer 503 and not a bad token', async () => {
    const server = await startJwksServer(jwks([keyA.jwk]))
    const { keys, clock, errors, loaded } = follow(server.url)
    await loaded()
    server.answer.now = { status: 500 }
    for (let second = 0; second < 95; second += 1) {
      // Until the first attempt has failed, what is known is recent enough to call a kid unknown.
      const expected = second < 30 ? 'unknown' : 'keys_unavailable'
      for (let count = 0; count < 20; count += 1) {
        expect(await codeOf(() => keys.keyOf(unknownKid(second * 20 + count)))).toBe(expected)
      }
      expect(await codeOf(() => keys.keyOf(keyA.kid))).toBe('known')
      clock.suspend(1000)
    }
    expect(server.requests.length).toBe(4)
    expect(errors()).toBe(3)
  })

  test('is not asked for again while it is remembered as unknown', async () => {
    const server = await startJwksServer(jwks([keyA.jwk]))
    const { keys, clock, loaded } = follow(server.url)
    await loaded()
    for (let minute = 0; minute < 9; minute += 1) {
      clock.suspend(60_000)
      expect(await codeOf(() => keys.keyOf(unknownKid(1)))).toBe('unknown')
    }
    expect(server.requests.length).toBe(2)
  })

  test('counts from the moment its key is published, whatever was remembered', async () => {
    const server = await startJwksServer(jwks([keyA.jwk]))
    const { keys, clock, loaded } = follow(server.url)
    await loaded()
    clock.suspend(30_000)
    expect(await codeOf(() => keys.keyOf(keyB.kid))).toBe('unknown')
    server.answer.now = jwks([keyA.jwk, keyB.jwk])
    clock.suspend(30_000)
    expect(await codeOf(() => keys.keyOf(unknownKid(1)))).toBe('unknown')
    expect(await codeOf(() => keys.keyOf(keyB.kid))).toBe('known')
  })
})

describe('R86: two rotations in a row', () => {
  test('with each key published an hour ahead, no kid is ever unknown and none is asked for by a token', async () => {
    const server = await startJwksServer(jwks([keyA.jwk, keyB.jwk]))
    const { keys, clock, loaded } = follow(server.url)
    await loaded()
    const minutes = async (count: number, kids: readonly string[]) => {
      for (let minute = 0; minute < count; minute += 1) {
        for (const kid of kids) expect(keys.keyOf(kid)).toMatchObject({ kid })
        const before = server.requests.length
        await clock.advance(60_000)
        // A request that fell due is answered by a real server, in real time.
        await vi.waitUntil(() => clock.sleeping() === 1, { interval: 1 })
        expect(server.requests.length - before).toBeLessThanOrEqual(1)
      }
    }
    await minutes(15, [keyA.kid])
    server.answer.now = jwks([keyA.jwk, keyB.jwk, keyC.jwk])
    // B signs; A retires until its last token is gone.
    await minutes(17, [keyA.kid, keyB.kid])
    server.answer.now = jwks([keyB.jwk, keyC.jwk])
    await minutes(44, [keyB.kid])
    await minutes(15, [keyB.kid, keyC.kid])
    expect(keys.keyOf(keyC.kid)).toMatchObject({ kid: keyC.kid })
    expect(await codeOf(() => keys.keyOf(keyA.kid))).toBe('unknown')
  })
})

describe('R89: an answer that is no sound set of keys', () => {
  const bad = {
    'an error': { status: 500, body: '{}' },
    'a 304 that was not asked for': { status: 304 },
    'no JSON': { headers: { 'content-type': 'application/json' }, body: '<html>' },
    'another media type': {
      headers: { 'content-type': 'text/html' },
      body: jwks([keyA.jwk]).body ?? '',
    },
    'no media type': { body: jwks([keyA.jwk]).body ?? '' },
    'no keys': jwks([]),
    'a set with a private key': jwks([keyA.jwk, { ...keyB.jwk, d: 'AAAA' }]),
    'bytes that are not UTF-8': { ...jwks([]), body: Buffer.from([0x7b, 0xff, 0x7d]) },
    'too many bytes': jwks([{ ...keyA.jwk, note: 'x'.repeat(70_000) }]),
    'a redirect': { status: 302, headers: { location: '/elsewhere' } },
  }

  test.for(Object.entries(bad))(
    '%s leaves the last good one in use and raises an error',
    async ([, answer]) => {
      const server = await startJwksServer(jwks([keyA.jwk]))
      const { keys, clock, errors, loaded } = follow(server.url)
      await loaded()
      server.answer.now = answer
      clock.suspend(31_000)
      expect(await codeOf(() => keys.keyOf(keyB.kid))).toBe('keys_unavailable')
      expect(errors()).toBe(1)
      expect(server.requests.length).toBe(2)
      expect(await codeOf(() => keys.keyOf(keyA.kid))).toBe('known')
      server.answer.now = jwks([keyA.jwk, keyB.jwk])
      clock.suspend(31_000)
      expect(await codeOf(() => keys.keyOf(keyB.kid))).toBe('known')
    },
  )

  test('none within five seconds is given up, and the last good set stays in use', async () => {
    const server = await startJwksServer(jwks([keyA.jwk]))
    const { keys, clock, errors, loaded } = follow(server.url)
    await loaded()
    server.answer.now = undefined
    clock.suspend(31_000)
    const looking = codeOf(() => keys.keyOf(keyB.kid))
    await vi.waitUntil(() => server.requests.length === 2)
    await clock.advance(4999)
    expect(errors()).toBe(0)
    expect(await codeOf(() => keys.keyOf(keyA.kid))).toBe('known')
    await clock.advance(1)
    expect(await looking).toBe('keys_unavailable')
    expect(errors()).toBe(1)
  })

  test('is bridged for 24 hours, and not longer', async () => {
    const server = await startJwksServer(jwks([keyA.jwk]))
    const { keys, clock, loaded } = follow(server.url)
    await loaded()
    server.answer.now = { status: 503 }
    clock.suspend(day)
    expect(await codeOf(() => keys.keyOf(keyA.kid))).toBe('known')
    clock.suspend(1)
    expect(await codeOf(() => keys.keyOf(keyA.kid))).toBe('keys_unavailable')
    expect(await codeOf(() => keys.keyOf(keyB.kid))).toBe('keys_unavailable')
    server.answer.now = jwks([keyA.jwk])
    await vi.waitUntil(async () => {
      await clock.advance(10_000)
      return (await codeOf(() => keys.keyOf(keyA.kid))) === 'known'
    })
  })
})
