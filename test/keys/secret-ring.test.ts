import { describe, expect, test } from 'vitest'
import { keyLabels, sealedLabel, secretRing } from '../../src/keys/secret-ring.ts'

const oldSecret = 'the old secret, long enough to be one'
const newSecret = 'the new secret, long enough to be one'

const hexOf = (secrets: readonly string[]) =>
  secretRing(secrets)
    .derive(keyLabels.keySeal)
    .map(({ id, key }) => `${id} ${key.toString('hex')}`)

describe('the secret ring', () => {
  test('R91: every purpose has a key of its own, and none of them is the secret', () => {
    const ring = secretRing([oldSecret])
    const keys = Object.values(keyLabels).map((label) => ring.derive(label)[0].key)
    expect(keys.map((key) => key.length)).toEqual(keys.map(() => 32))
    const distinct = new Set(keys.map((key) => key.toString('hex')))
    expect(distinct.size).toBe(Object.keys(keyLabels).length)
    expect(keys.some((key) => oldSecret.includes(key.toString('latin1')))).toBe(false)
  })

  test('labels are part of what was made with them, and never change', () => {
    expect(Object.values(keyLabels)).toEqual([
      'cardea handle refresh',
      'cardea handle session',
      'cardea session copy',
      'cardea key seal',
      'cardea device',
      'cardea audit reference',
      'cardea limit identifier',
      'cardea return address',
      'cardea login form',
      'cardea logout form',
    ])
  })

  test('the label of sealed sessions holds the audience, and never changes', () => {
    expect(sealedLabel('https://shop.example.com')).toBe('cardea sealed https://shop.example.com')
  })

  test('a key and its id depend on their secret only, whatever stands beside it', () => {
    const [alone] = hexOf([oldSecret])
    expect(hexOf([oldSecret, newSecret])[0]).toBe(alone)
    expect(hexOf([newSecret, oldSecret])[1]).toBe(alone)
  })

  test('a derived key equals the test vector, so that no release can lock itself out of its data', () => {
    expect(hexOf([oldSecret])).toEqual([
      '104 df4f843717cc4e3b185bc8c6ff8713188741f42e320f48addb9db0b567d466fa',
    ])
  })

  test('the id is the same for every purpose', () => {
    const ring = secretRing([oldSecret])
    const ids = Object.values(keyLabels).map((label) => ring.derive(label)[0].id)
    expect(new Set(ids).size).toBe(1)
  })

  test('two secrets that share an id are both kept', () => {
    const idOf = (secret: string) => secretRing([secret]).derive(keyLabels.keySeal)[0].id
    const wanted = idOf(oldSecret)
    const candidates = Array.from({ length: 5_000 }, (_, place) => `${newSecret} ${place}`)
    const twin = candidates.find((secret) => idOf(secret) === wanted)
    expect(twin).toBeDefined()
    const keys = secretRing([oldSecret, twin ?? '']).derive(keyLabels.keySeal)
    expect(keys.map(({ id }) => id)).toEqual([wanted, wanted])
    expect(keys[0].key).not.toEqual(keys[1]?.key)
  })

  test('a secret given twice counts once', () => {
    expect(hexOf([oldSecret, oldSecret])).toHaveLength(1)
  })

  test('a short secret is refused without being quoted, and so is none at all', () => {
    const short = 'q'.repeat(31)
    expect(() => secretRing([oldSecret, short])).toThrow(TypeError)
    expect(() => secretRing([oldSecret, short])).not.toThrow(short)
    expect(() => secretRing([])).toThrow(TypeError)
    // 16 characters, 32 bytes.
    expect(() => secretRing(['é'.repeat(16)])).not.toThrow()
  })
})
