import { webcrypto } from 'node:crypto'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import type { CheckAccessTokenOptions } from '../../src/index.ts'
import { createSignatureCache } from '../../src/tokens/signature-cache.ts'
import { createTokenCheck } from '../../src/tokens/token-check.ts'
import { refusalOf } from './check-tokens.ts'
import {
  audience,
  forge,
  goodClaims,
  headerOf,
  issuer,
  malleated,
  newKey,
  signed,
  startMs,
  type TestKey,
} from './signed-tokens.ts'

const key = await newKey()

const rememberingCheck = (options: Partial<CheckAccessTokenOptions> = {}) => {
  const keys = new Map<string, TestKey>([[key.kid, key]])
  const clock = { now: startMs, nowMs: () => clock.now }
  const keyOf = (kid: string) => keys.get(kid)
  const checking = createTokenCheck({ issuer, audiences: [audience], keyOf, clock, ...options })
  return { ...checking, keys, clock }
}

/** Counts the signatures that are really verified, by anyone in this process. */
const countVerifications = () => {
  const spy = vi.spyOn(webcrypto.subtle, 'verify')
  onTestFinished(() => spy.mockRestore())
  return () => spy.mock.calls.length
}

describe('a token that was seen before', () => {
  test('costs no second verification of its signature', async () => {
    const verifications = countVerifications()
    const { check, stats } = rememberingCheck()
    const token = signed(key)
    const first = await check(token)
    expect(verifications()).toBe(1)
    for (let again = 0; again < 10; again += 1) expect(await check(token)).toBe(first)
    expect(verifications()).toBe(1)
    expect(stats()).toEqual({ cached: 1, hits: 10, misses: 1 })
  })

  test('R79: is refused as soon as its key has left the set, and accepted when the key is back', async () => {
    const { check, keys } = rememberingCheck()
    const token = signed(key)
    await check(token)
    keys.delete(key.kid)
    expect(await refusalOf(check(token))).toBe('unknown kid')
    keys.set(key.kid, key)
    await expect(check(token)).resolves.toBeDefined()
  })

  test('is verified anew when another key stands under its kid', async () => {
    const { check, keys } = rememberingCheck()
    const token = signed(key)
    await check(token)
    const other = await newKey()
    keys.set(key.kid, { ...other, kid: key.kid })
    await refusalOf(check(token))
  })

  test('is known by all of its bytes: a rewritten signature is verified for itself', async () => {
    const verifications = countVerifications()
    const { check } = rememberingCheck()
    const token = signed(key)
    await check(token)
    await check(malleated(token))
    expect(verifications()).toBe(2)
    const end = token.lastIndexOf('.')
    const other = signed(key)
    await refusalOf(check(token.slice(0, end) + other.slice(other.lastIndexOf('.'))))
  })

  test('was refused: nothing is remembered of it', async () => {
    const verifications = countVerifications()
    const { check, stats } = rememberingCheck()
    const stranger = await newKey()
    const forged = forge(stranger, headerOf(key), goodClaims())
    await refusalOf(check(forged))
    await refusalOf(check(forged))
    expect(verifications()).toBe(2)
    expect(stats().cached).toBe(0)
  })

  test('is not kept when nothing is to be remembered', async () => {
    const verifications = countVerifications()
    const { check, stats } = rememberingCheck({ maxCachedTokens: 0 })
    const token = signed(key)
    await check(token)
    await check(token)
    expect(verifications()).toBe(2)
    expect(stats().cached).toBe(0)
  })

  test('is one of at most as many as were allowed', async () => {
    const { check, stats } = rememberingCheck({ maxCachedTokens: 10 })
    for (let count = 0; count < 40; count += 1) {
      await check(signed(key))
      expect(stats().cached).toBeLessThanOrEqual(10)
    }
    expect(stats().cached).toBeGreaterThanOrEqual(5)
  })
})

describe('the cache of verified signatures', () => {
  test('keeps what is used and forgets what is not', () => {
    const cache = createSignatureCache<number>({ entries: 10, bytes: 1000 })
    for (let count = 0; count < 100; count += 1) {
      cache.set(`token ${count}`, count, 1)
      expect(cache.get('token 0')).toBe(0)
      expect(cache.size()).toBeLessThanOrEqual(10)
    }
    expect(cache.get('token 1')).toBeUndefined()
    expect(cache.get('token 99')).toBe(99)
  })

  test('is bounded in bytes too, and takes nothing that alone is too much', () => {
    const cache = createSignatureCache<number>({ entries: 1000, bytes: 100 })
    for (let count = 0; count < 50; count += 1) {
      cache.set(`token ${count}`, count, 20)
      expect(cache.size()).toBeLessThanOrEqual(5)
    }
    cache.set('large', 1, 51)
    expect(cache.get('large')).toBeUndefined()
  })

  test('forgets nothing when the same token is set again', () => {
    const cache = createSignatureCache<number>({ entries: 4, bytes: 1000 })
    cache.set('a', 1, 1)
    cache.set('a', 2, 1)
    expect(cache.get('a')).toBe(2)
    expect(cache.size()).toBe(1)
  })
})
