import { expect, test } from 'vitest'
import { peppersFrom } from '../../src/accounts/argon2-password-hasher.ts'

test('the id of a pepper is stable and tells nothing of its key', () => {
  const [first, again] = [peppersFrom(['one pepper']).current, peppersFrom(['one pepper']).current]
  expect(first?.id).toBe(again?.id)
  expect(first?.key).toEqual(again?.key)
  expect(first?.key).toHaveLength(32)
  expect(first?.key.toString('base64url').includes(first.id)).toBe(false)
})

test('the first pepper makes, and all of them are found by id', () => {
  const older = peppersFrom(['older']).current
  const both = peppersFrom(['newer', 'older'])
  expect(both.current?.id).not.toBe(older?.id)
  expect(both.keyOf(older?.id)).toEqual(older?.key)
  expect(both.keyOf(both.current?.id)).toEqual(both.current?.key)
})

test('without a pepper there is no key, and an unknown id is an error', () => {
  expect(peppersFrom([]).current).toBeUndefined()
  expect(peppersFrom([]).keyOf(undefined)).toBeUndefined()
  expect(() => peppersFrom([]).keyOf('AAAAAAAA')).toThrow('AAAAAAAA')
})
