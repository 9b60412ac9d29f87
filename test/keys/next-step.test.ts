import { describe, expect, test } from 'vitest'
import {
  type KeySituation,
  keptAfterRetirementMs,
  nextStep,
  publishedBeforeUseMs,
} from '../../src/keys/key-schedule.ts'
import type { SigningKeyRecord } from '../../src/keys/signing-key.ts'
import { dayMs, hourMs } from './key-instances.ts'

const nowMs = Date.UTC(2030, 0, 1)

const record = (changes: Partial<SigningKeyRecord>): SigningKeyRecord => ({
  kid: 'a',
  algorithm: 'ES256',
  state: 'active',
  createdAtMs: nowMs - 40 * dayMs,
  activatedAtMs: undefined,
  retiredAtMs: undefined,
  rotateEarlyAtMs: undefined,
  revokedAtMs: undefined,
  ...changes,
})

const active = (ageMs: number, changes: Partial<SigningKeyRecord> = {}) =>
  record({ kid: 'active', activatedAtMs: nowMs - ageMs, ...changes })

const next = (ageMs: number, changes: Partial<SigningKeyRecord> = {}) =>
  record({ kid: 'next', state: 'next', createdAtMs: nowMs - ageMs, ...changes })

const retiring = (ageMs: number) =>
  record({ kid: 'retiring', state: 'retiring', activatedAtMs: 0, retiredAtMs: nowMs - ageMs })

const step = (keys: SigningKeyRecord[], changes: Partial<KeySituation> = {}) =>
  nextStep({
    keys,
    nowMs,
    rotationMs: 30 * dayMs,
    algorithm: 'ES256',
    isAsked: false,
    ...changes,
  })

const rotation = { kind: 'rotate', kid: 'active', successor: 'next', algorithm: 'ES256' }

describe('by schedule', () => {
  test('a rotation is due when the active key has signed for as long as the setting says', () => {
    expect(step([active(30 * dayMs - 1), next(20 * dayMs)])).toBeUndefined()
    expect(step([active(30 * dayMs), next(30 * dayMs)])).toEqual(rotation)
    expect(step([active(dayMs), next(dayMs)], { rotationMs: dayMs })).toEqual(rotation)
  })

  test('R86: a next key never signs before it has been published for an hour, however late the rotation is', () => {
    expect(step([active(90 * dayMs), next(hourMs - 1)])).toBeUndefined()
    expect(step([active(90 * dayMs), next(hourMs)])).toEqual(rotation)
    expect(publishedBeforeUseMs).toBe(hourMs)
  })

  test('a clock that was set back makes nothing due', () => {
    expect(step([active(-dayMs), next(-dayMs)])).toBeUndefined()
  })

  test('a missing next key is added first, of the kind that is in use', () => {
    const keys = [active(40 * dayMs)]
    expect(step(keys)).toEqual({ kind: 'add', algorithm: 'ES256' })
    expect(step(keys, { algorithm: 'RS256' })).toEqual({ kind: 'add', algorithm: 'ES256' })
  })

  test('without an active key nothing is done: somebody must look', () => {
    expect(step([next(dayMs)])).toBeUndefined()
    expect(step([])).toBeUndefined()
  })
})

describe('a retired key', () => {
  test('R86: is kept for longer than its last token can be good, on an instance that learned of it as late as it may', () => {
    const stays = 15 * 60_000 + 30_000 + 40_000 + 11 * 60_000
    expect(keptAfterRetirementMs).toBe(stays)
    expect(step([active(dayMs), next(dayMs), retiring(stays)])).toBeUndefined()
    expect(step([active(dayMs), next(dayMs), retiring(stays + 1)])).toEqual({
      kind: 'erase',
      kid: 'retiring',
    })
  })

  test('a rotation that is due comes first', () => {
    expect(step([active(31 * dayMs), next(dayMs), retiring(dayMs)])).toEqual(rotation)
  })
})

describe('a change of algorithm', () => {
  const algorithm = 'Ed25519'
  const changing = next(hourMs - 1, { algorithm })

  test('is finished as soon as it may be, whatever the instance that does it was told', () => {
    for (const setting of ['ES256', 'Ed25519', 'RS256'] as const) {
      const situation = { algorithm: setting }
      expect(step([active(dayMs), changing], situation), setting).toBeUndefined()
      expect(step([active(40 * dayMs), changing], situation), setting).toBeUndefined()
      const ready = next(hourMs, { algorithm })
      const finished = { ...rotation, algorithm }
      expect(step([active(dayMs), ready], situation), setting).toEqual(finished)
    }
  })

  test('is called off by asking under the old setting', () => {
    const back = { kind: 'replace', kid: 'next', algorithm: 'ES256' }
    expect(step([active(dayMs), changing], { isAsked: true })).toEqual(back)
  })

  test('instances of different settings come to rest: two of them never replace a key by turns', () => {
    let keys = [active(30 * dayMs), next(30 * dayMs)]
    const taken: string[] = []
    for (let turn = 0; turn < 20; turn += 1) {
      const due = step(keys, { algorithm: turn % 2 === 0 ? 'Ed25519' : 'ES256' })
      if (due?.kind !== 'replace') continue
      taken.push(due.algorithm)
      keys = [active(30 * dayMs), next(0, { algorithm: due.algorithm, rotateEarlyAtMs: nowMs })]
    }
    expect(taken).toEqual(['Ed25519'])
  })
})
