import {
  createRemoteJWKSet,
  customFetch,
  decodeJwt,
  decodeProtectedHeader,
  type FetchImplementation,
  jwtVerify,
} from 'jose'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createVerifier, type Verifier } from '../../packages/verifier/src/index.ts'
import { type Cardea, startCardea } from '../support/service/cardea.ts'
import { quickSession } from '../support/service/quick-session.ts'
import { openingFor } from '../support/verifier/verifier-tokens.ts'
import { type SkippingClock, skippingClock } from './verifier-skipping-clock.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const cacheMs = 10 * minuteMs
const commandLine = { kind: 'command-line' } as const

let clock: SkippingClock
let cardea: Cardea
const open: Verifier[] = []

beforeAll(async () => {
  // In the past: whatever leaps, Postgres's clock, which has a say in what keys do, is never behind.
  clock = skippingClock(Date.now() - 24 * hourMs)
  // jose asks the machine for the time.
  vi.spyOn(Date, 'now').mockImplementation(() => Math.floor(clock.nowMs()))
  cardea = await startCardea({ clock, instances: 2, redisUrl: null })
})
afterAll(async () => {
  for (const verifier of open) await verifier.close()
  await cardea.stop()
  vi.restoreAllMocks()
})

/** Somebody else's service: checks a token, and has counted how often it asked for the keys. */
type Checker = {
  readonly name: string
  readonly check: (token: string) => Promise<unknown>
  readonly keyRequests: () => number
}

const isForKeys = (input: unknown): boolean => String(input).endsWith('/.well-known/jwks.json')

const withJose = (index: number): Checker => {
  let asked = 0
  const counting: FetchImplementation = (url, options) => {
    asked += 1
    return fetch(url, options)
  }
  const { address } = cardea.clientOf(index)
  const keys = createRemoteJWKSet(new URL(`${address}/.well-known/jwks.json`), {
    cacheMaxAge: cacheMs,
    cooldownDuration: 30_000,
    [customFetch]: counting,
  })
  const { issuer } = cardea.config
  const options = { issuer, audience: issuer, typ: 'at+jwt', algorithms: ['ES256'] }
  return {
    name: `jose at instance ${index}`,
    check: (token) => jwtVerify(token, keys, { ...options, currentDate: new Date(clock.nowMs()) }),
    keyRequests: () => asked,
  }
}

const withPackage = async (index: number): Promise<Checker> => {
  let asked = 0
  /** As through a proxy that allows the keys to be kept for longer than the service says. */
  const throughACache: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init)
    if (!isForKeys(input)) return answer
    asked += 1
    const headers = new Headers(answer.headers)
    headers.set('cache-control', `public, max-age=${cacheMs / 1000}`)
    const { status } = answer
    return new Response(status === 304 ? null : await answer.arrayBuffer(), { status, headers })
  }
  const opening = await openingFor(cardea, cardea.clientOf(index).address)
  const verifier = createVerifier({
    ...opening,
    audience: opening.issuer,
    clock,
    fetch: throughACache,
  })
  open.push(verifier)
  await verifier.ready()
  return {
    name: `the package at instance ${index}`,
    check: async (token) => {
      // A leap ends its lease; it has it back with its next question.
      await vi.waitUntil(() => verifier.state() === 'FRESH', { interval: 5 })
      await verifier.verify(token)
    },
    keyRequests: () => asked,
  }
}

const newHandle = async (): Promise<string> =>
  (await quickSession(cardea, (await cardea.createAccount()).id)).refreshToken

/** People who refresh on either instance, and the access tokens that they hold of the last 15 minutes. */
const people = async (size: number) => {
  let handles: string[] = []
  for (let count = 0; count < size; count += 1) handles.push(await newHandle())
  let tokens: string[] = []
  const refresh = async (handle: string, place: number): Promise<string> => {
    const answer = await cardea.clientOf(place % 2).refresh(handle)
    expect(answer.status, answer.text).toBe(200)
    tokens.push(answer.body.access_token)
    return answer.refreshCookie ?? ''
  }
  return {
    refreshAll: async () => {
      handles = await Promise.all(handles.map(refresh))
    },
    tokens: () => {
      tokens = tokens.filter((token) => (decodeJwt(token).exp ?? 0) * 1000 > clock.nowMs())
      return tokens
    },
  }
}

test('R86, R87: two rotations in a row under load: jose and @cardea/verifier, which keep keys for 10 minutes, refuse no valid token', async () => {
  const crowd = await people(6)
  const checkers = [withJose(0), withJose(1), await withPackage(0), await withPackage(1)]
  const signedWith = new Set<unknown>()
  let checked = 0

  const checkAll = async () => {
    for (const token of crowd.tokens()) {
      signedWith.add(decodeProtectedHeader(token).kid)
      for (const { name, check } of checkers) {
        await expect(check(token), name).resolves.not.toThrow()
        checked += 1
      }
    }
  }
  const round = async (act: () => Promise<unknown> = async () => undefined) => {
    await Promise.all([crowd.refreshAll(), act(), checkAll()])
    await checkAll()
  }
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 5 * minuteMs) {
      clock.leap(5 * minuteMs)
      // Each instance does what is due by itself, one of them in the middle of requests.
      await cardea.instances[0]!.core.keys.keep()
      await round(() => cardea.instances[1]!.core.keys.keep())
    }
  }

  await round()
  await pass(hourMs)
  await round(() => cardea.instances[0]!.core.keys.rotate(commandLine))
  await pass(10 * minuteMs)
  await round(async () => {
    const second = await cardea.instances[1]!.core.keys.rotate(commandLine)
    expect(second).toMatchObject({ kind: 'planned' })
  })
  await pass(hourMs + 30 * minuteMs)

  expect(signedWith.size).toBe(3)
  expect(checked).toBeGreaterThan(1_000)
  // They did keep them: once in 8 to 10 minutes, never because of a key that they did not know.
  for (const { name, keyRequests } of checkers) {
    expect(keyRequests(), name).toBeLessThanOrEqual(clock.skippedMs() / (8 * minuteMs) + 1)
  }
})
