import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, jwtVerify } from 'jose'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { type FakeClock, pastClock } from '../support/clocks/fake-clock.ts'
import { type Seeded, seeded } from '../support/run/seeded.ts'
import { freshDatabase } from '../support/servers/postgres-server.ts'
import { type Cardea, type CardeaOptions, startCardea } from '../support/service/cardea.ts'
import { type QuickSession, quickSession } from '../support/service/quick-session.ts'
import { headerOf } from '../support/service/verified-claims.ts'
import { hourMs } from './key-instances.ts'

const minuteMs = 60_000
const commandLine = { kind: 'command-line' } as const

let clock: FakeClock
let cardea: Cardea
let chance: Seeded

beforeEach(() => {
  clock = pastClock()
  chance = seeded()
})

const start = async (options: CardeaOptions = {}): Promise<void> => {
  const started = await startCardea({ clock, instances: 2, redisUrl: null, ...options })
  onTestFinished(started.stop)
  cardea = started
}

const keysOf = (index: number) => cardea.instances[index]!.core.keys

const keepAll = () => Promise.all(cardea.instances.map(({ core }) => core.keys.keep()))

/**
 * The slowest verifier that the design counts on: a cache in between answers it for `max-age`, it keeps what it got for 10 minutes, and
 * never asks because of an unknown kid.
 */
const slowVerifier = () => {
  let shared: { body: JSONWebKeySet; atMs: number } | undefined
  let own: { body: JSONWebKeySet; atMs: number } | undefined
  const isOld = (copy: { atMs: number } | undefined, ms: number) =>
    !copy || clock.nowMs() - copy.atMs > ms
  const fetchKeys = async (): Promise<JSONWebKeySet> => {
    if (isOld(shared, 5 * minuteMs)) {
      const { body } = await cardea.clientOf(chance.next(2)).get('/.well-known/jwks.json')
      shared = { body, atMs: clock.nowMs() }
    }
    return shared!.body
  }
  return async (token: string): Promise<void> => {
    if (isOld(own, 10 * minuteMs)) own = { body: await fetchKeys(), atMs: clock.nowMs() }
    await jwtVerify(token, createLocalJWKSet(own!.body), {
      issuer: cardea.config.issuer,
      typ: 'at+jwt',
      currentDate: new Date(clock.nowMs()),
    })
  }
}

/** Sessions that are refreshed on any instance, and the access tokens of the last 15 minutes. */
const crowd = async (size: number) => {
  const sessions: QuickSession[] = []
  for (let count = 0; count < size; count += 1) {
    const { id } = await cardea.createAccount()
    sessions.push(await quickSession(cardea, id))
  }
  let handles = sessions.map(({ refreshToken }) => refreshToken)
  let tokens: string[] = []
  const refresh = async (handle: string): Promise<string> => {
    const answer = await cardea.clientOf(chance.next(2)).refresh(handle)
    expect(answer.status, `${answer.text}, seed ${chance.seed}`).toBe(200)
    tokens.push(answer.body.access_token)
    return answer.refreshCookie ?? ''
  }
  return {
    refreshAll: async () => {
      handles = await Promise.all(handles.map(refresh))
    },
    live: () => {
      tokens = tokens.filter((token) => (decodeJwt(token).exp ?? 0) * 1000 > clock.nowMs())
      return tokens
    },
  }
}

/** Refreshes and checks of every live token by slow verifiers, while time passes. */
const underLoad = async () => {
  const people = await crowd(4)
  const verifiers = [slowVerifier(), slowVerifier()]
  const signedWith = new Set<string>()
  let checked = 0

  const round = async (...acts: (() => Promise<unknown>)[]) => {
    await Promise.all([people.refreshAll(), ...acts.map((act) => act())])
    for (const token of people.live()) {
      const { alg, kid } = headerOf(token)
      signedWith.add(`${alg} ${kid}`)
      for (const verify of verifiers) {
        await expect(verify(token), `kid ${kid}, seed ${chance.seed}`).resolves.toBeUndefined()
        checked += 1
      }
    }
  }
  /** Each instance reads its keys at its own time, some of them late. */
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 5 * minuteMs) {
      clock.advance(4 * minuteMs)
      await round(() => keysOf(chance.next(2)).keep())
      clock.advance(minuteMs)
      await round(keepAll)
    }
  }
  return { round, pass, signedWith, checked: () => checked }
}

test('R86, R87: two rotations in a row under load, over two instances and a verifier that caches for 15 minutes, refuse no valid token', async () => {
  await start()
  const { round, pass, signedWith, checked } = await underLoad()
  await pass(hourMs)
  // In the middle of requests, on one instance; the other one learns of it when it reads again.
  await round(() => keysOf(0).rotate(commandLine))
  await pass(10 * minuteMs)
  await round(async () => {
    expect(await keysOf(1).rotate(commandLine)).toMatchObject({ kind: 'planned' })
  })
  await pass(hourMs + 30 * minuteMs)
  expect(signedWith.size).toBe(3)
  expect(checked()).toBeGreaterThan(1_000)
})

test('a change of algorithm under the same load refuses no valid token, and ends with one kind of key', async () => {
  const database = await freshDatabase()
  onTestFinished(database.drop)
  // The deployment began with ES256; then the setting was changed everywhere.
  await (await startCardea({ clock, redisUrl: null, database })).stop()
  await start({ database, config: { signingAlgorithm: 'Ed25519' } })
  const { round, pass, signedWith } = await underLoad()
  const kinds = async (): Promise<string[]> => {
    const { body } = await cardea.client.get('/.well-known/jwks.json')
    return body.keys.map(({ alg }: { alg: string }) => alg)
  }
  await pass(10 * minuteMs)
  expect(await kinds()).toEqual(['ES256', 'ES256'])
  await round(() => keysOf(0).rotate(commandLine))
  await round(keepAll)
  expect(await kinds()).toEqual(['ES256', 'Ed25519'])
  await pass(hourMs)
  expect(await kinds()).toEqual(['ES256', 'Ed25519', 'Ed25519'])
  await pass(30 * minuteMs)
  expect(await kinds()).toEqual(['Ed25519', 'Ed25519'])
  expect([...signedWith].map((key) => key.split(' ')[0]).toSorted()).toEqual(['ES256', 'Ed25519'])
})

test('R85: after a rotation both instances publish the same bytes under a new tag, and the old tag answers 200', async () => {
  await start()
  const get = (index: number, etag?: string) =>
    cardea
      .clientOf(index)
      .get('/.well-known/jwks.json', etag ? { headers: { 'if-none-match': etag } } : {})
  const before = await get(0)
  const tagBefore = before.headers.get('etag') ?? ''
  expect((await get(1, tagBefore)).status).toBe(304)
  clock.advance(hourMs)
  await keysOf(0).rotate(commandLine)
  await keysOf(1).keep()
  const [one, two] = [await get(0, tagBefore), await get(1, tagBefore)]
  expect([one.status, two.status]).toEqual([200, 200])
  expect(one.text).toBe(two.text)
  expect(one.headers.get('etag')).toBe(two.headers.get('etag'))
  expect(one.headers.get('etag')).not.toBe(tagBefore)
  expect((await get(1, one.headers.get('etag') ?? '')).status).toBe(304)
  // Order: those of before in their places, the new one at the end.
  expect(one.body.keys.slice(0, 2)).toEqual(before.body.keys)
  expect(one.body.keys).toHaveLength(3)
})

test('R87: while the keys cannot be read nothing is consumed: after 10 minutes a refresh is 503, and works again with the same handle', async () => {
  await start({ instances: 1 })
  const { id } = await cardea.createAccount()
  const { refreshToken } = await quickSession(cardea, id)
  const { client, instances } = cardea
  const database = instances[0]!.core.database
  // The rows are damaged for every reader, and sessions are not: the worst order of things.
  const change = (from: string, to: string) =>
    database.query({
      name: `test_${to}`,
      text: `UPDATE signing_keys SET state = '${to}', retired_at = now() WHERE state = '${from}'`,
    })
  await change('active', 'retiring')
  clock.advance(10 * minuteMs)
  const inTime = await client.refresh(refreshToken)
  expect(inTime.status).toBe(200)
  const handle = inTime.refreshCookie ?? ''
  clock.advance(1)
  for (let turn = 0; turn < 3; turn += 1) {
    const refused = await client.refresh(handle)
    expect(refused).toMatchObject({ status: 503, body: { code: 'signing_keys_unavailable' } })
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(refused.refreshCookie).toBeUndefined()
    clock.advance(minuteMs)
  }
  expect((await client.get('/.well-known/jwks.json')).status).toBe(200)
  clock.advance(30 * minuteMs)
  const unpublished = await client.get('/.well-known/jwks.json')
  expect(unpublished).toMatchObject({ status: 503, body: { code: 'signing_keys_unavailable' } })
  expect(unpublished.headers.get('cache-control')).toBe('no-store')
  await change('retiring', 'active')
  expect((await client.refresh(handle)).status).toBe(200)
  expect((await client.get('/.well-known/jwks.json')).status).toBe(200)
})
