import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { jwksDocument } from '../../src/keys/jwks.ts'
import {
  type CurrentKeySet,
  currentKeySet,
  type KeySet,
  SigningKeysDamaged,
} from '../../src/keys/key-set.ts'
import { AppError } from '../../src/lib/app-error.ts'
import { type FakeClock, fakeClock } from '../support/clocks/fake-clock.ts'
import { newSigningKey } from './new-signing-key.ts'

const minuteMs = 60_000

let first: KeySet
let second: KeySet
let clock: FakeClock
let revoked: Set<string>
let answer: () => Promise<KeySet>
let reads: number
let current: CurrentKeySet

/** A set as it would be loaded, of one key. */
const newKeySet = async (): Promise<KeySet> => {
  const { signer, publicJwk, verificationKey } = await newSigningKey('ES256')
  const { kid, algorithm } = signer
  const never = {
    activatedAtMs: undefined,
    retiredAtMs: undefined,
    rotateEarlyAtMs: undefined,
    revokedAtMs: undefined,
  }
  const sealedPrivate = Buffer.alloc(0)
  return {
    signer,
    verificationKeys: new Map([[kid, verificationKey]]),
    jwks: jwksDocument([publicJwk]),
    rows: [{ kid, algorithm, state: 'active', createdAtMs: 0, ...never, sealedPrivate }],
  }
}

beforeAll(async () => {
  first = await newKeySet()
  second = await newKeySet()
})
beforeEach(async () => {
  clock = fakeClock()
  revoked = new Set()
  reads = 0
  answer = async () => first
  const load = () => {
    reads += 1
    return answer()
  }
  current = currentKeySet({ load, clock, isRevoked: (kid) => revoked.has(kid) })
  await current.read()
})

const codeOf = async (act: () => unknown): Promise<string> => {
  try {
    await act()
  } catch (error) {
    if (error instanceof AppError) return `${error.status} ${error.code}`
    throw error
  }
  return 'fine'
}

const broken = new SigningKeysDamaged('as a test wants it')

describe('an instance whose keys are fresh', () => {
  test('signs and publishes without reading anything', async () => {
    clock.advance(10 * minuteMs)
    await current.readyToSign()
    expect(current.signer()).toBe(first.signer)
    expect(await current.toServe()).toBe(first)
    expect(reads).toBe(1)
  })
})

describe('an instance that has not read its keys for long', () => {
  test('R87: after 10 minutes lets nobody in who would need a signature, and reads before it says so', async () => {
    clock.advance(10 * minuteMs + 1)
    answer = () => Promise.reject(broken)
    expect(await codeOf(current.readyToSign)).toBe('503 signing_keys_unavailable')
    expect(reads).toBe(2)
    answer = async () => second
    expect(await codeOf(current.readyToSign)).toBe('fine')
    expect(current.signer()).toBe(second.signer)
  })

  test('whoever was let in at the last moment is still served, later nobody', async () => {
    clock.advance(10 * minuteMs)
    await current.readyToSign()
    clock.advance(minuteMs)
    expect(current.signer()).toBe(first.signer)
    clock.advance(1)
    expect(await codeOf(current.signer)).toBe('503 signing_keys_unavailable')
  })

  test('R87: publishes them for half an hour, then only after reading them again', async () => {
    answer = () => Promise.reject(broken)
    clock.advance(30 * minuteMs)
    expect(await current.toServe()).toBe(first)
    clock.advance(1)
    expect(await codeOf(current.toServe)).toBe('503 signing_keys_unavailable')
    answer = async () => second
    expect(await current.toServe()).toBe(second)
  })

  test('a store that is away is told as what it is', async () => {
    const away = new AppError('store_unavailable', { status: 503, title: 'away' })
    answer = () => Promise.reject(away)
    clock.advance(31 * minuteMs)
    expect(await codeOf(current.readyToSign)).toBe('503 store_unavailable')
    expect(await codeOf(current.toServe)).toBe('503 store_unavailable')
  })

  test('counts from before the read began: what came late may be old', async () => {
    answer = async () => {
      clock.advance(5 * minuteMs)
      return first
    }
    await current.read()
    clock.advance(5 * minuteMs + 1)
    answer = () => Promise.reject(broken)
    expect(await codeOf(current.readyToSign)).toBe('503 signing_keys_unavailable')
  })
})

describe('an instance that learns that its key was revoked elsewhere', () => {
  beforeEach(() => revoked.add(first.signer.kid))

  test.each([
    ['signs', () => current.readyToSign()],
    ['publishes', () => current.toServe()],
  ])('R79: reads again before it %s, and uses the revoked key no more', async (_what, act) => {
    answer = async () => second
    await act()
    expect(current.signer()).toBe(second.signer)
    expect(await current.toServe()).toBe(second)
    expect(reads).toBe(2)
  })

  test('signs nothing while the rows still say that it is the active one', async () => {
    expect(await codeOf(current.readyToSign)).toBe('503 signing_keys_unavailable')
  })

  test('neither signs nor publishes while the rows cannot be read', async () => {
    answer = () => Promise.reject(broken)
    expect(await codeOf(current.readyToSign)).toBe('503 signing_keys_unavailable')
    expect(await codeOf(current.toServe)).toBe('503 signing_keys_unavailable')
  })
})
