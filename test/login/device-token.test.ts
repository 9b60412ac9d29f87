import { describe, expect, test } from 'vitest'
import { isId, newId, systemRandom } from '../../src/lib/machine.ts'
import type { MacKey } from '../../src/lib/signed-bytes.ts'
import { deviceTokens } from '../../src/login/device-token.ts'

const daySeconds = 24 * 3600
const startMs = Date.UTC(2026, 10, 21)

const key = (id: number): MacKey => ({ id, key: systemRandom(32) })

const setUp = (keys: readonly MacKey[] = [key(7)]) => {
  let nowMs = startMs
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs }
  const passSeconds = (seconds: number) => {
    nowMs += seconds * 1000
  }
  return { keys, clock, passSeconds, tokens: deviceTokens(keys, systemRandom, clock) }
}

const ada = 'ada@example.com'
const accountId = newId(systemRandom)
const version = { accountId, globalEpoch: 1_900_000_000, accountEpoch: 3 }

describe('a device token', () => {
  test('R109: tells the device that logged in to this account before', () => {
    const { tokens } = setUp()
    const token = tokens.issue(ada, version)
    const device = tokens.read(token, ada)
    expect(device?.deviceId).toSatisfy(isId)
    expect(tokens.read(tokens.issue(ada, version), ada)?.deviceId).not.toBe(device?.deviceId)
  })

  test('keeps the id of a device that has one', () => {
    const { tokens } = setUp()
    const deviceId = tokens.read(tokens.issue(ada, version), ada)?.deviceId
    expect(tokens.read(tokens.issue(ada, version, deviceId), ada)?.deviceId).toBe(deviceId)
  })

  test('says which version the credentials of the account had', () => {
    const { tokens } = setUp()
    for (const epochs of [
      { globalEpoch: 0, accountEpoch: 0 },
      { globalEpoch: Number.MAX_SAFE_INTEGER, accountEpoch: 2 ** 31 - 1 },
    ]) {
      expect(tokens.read(tokens.issue(ada, { accountId, ...epochs }), ada)).toMatchObject(epochs)
    }
  })

  test('R109: tells which account that was, also when another one has its address now', () => {
    const { tokens } = setUp()
    const device = tokens.read(tokens.issue(ada, version), ada)
    expect(device?.isOfAccount(accountId)).toBe(true)
    expect(device?.isOfAccount(newId(systemRandom))).toBe(false)
  })

  test('means nothing for another address', () => {
    const { tokens } = setUp()
    expect(tokens.read(tokens.issue(ada, version), 'bob@example.com')).toBeUndefined()
  })

  test('means nothing once any one of its characters is altered', () => {
    const { tokens } = setUp()
    const token = tokens.issue(ada, version)
    for (let place = 0; place < token.length; place++) {
      const other = token[place] === 'A' ? 'B' : 'A'
      expect(
        tokens.read(token.slice(0, place) + other + token.slice(place + 1), ada),
        `character ${place}`,
      ).toBeUndefined()
    }
  })

  test('has one spelling only: spare bits of the last character are not free to choose', () => {
    const { tokens } = setUp()
    const token = tokens.issue(ada, version)
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const spellings = [...alphabet].map((last) => token.slice(0, -1) + last)
    expect(spellings.filter((spelling) => tokens.read(spelling, ada) !== undefined)).toEqual([
      token,
    ])
  })

  test.each([
    ['nothing', ''],
    ['a word', 'garbage'],
    ['zeros', 'A'.repeat(110)],
    ['of the length it had before it was bound to a version', 'A'.repeat(94)],
    ['standard base64', '+/'.repeat(55)],
    ['padding', `${'A'.repeat(108)}==`],
    ['much too much', 'A'.repeat(1_000_000)],
    ['a lone surrogate', '\ud800'.repeat(110)],
    ['control characters', '\0'.repeat(110)],
  ])('that is %s is refused without an exception', (_, token) => {
    expect(setUp().tokens.read(token, ada)).toBeUndefined()
  })

  test('holds for a year and not for longer', () => {
    const { tokens, passSeconds } = setUp()
    const token = tokens.issue(ada, version)
    passSeconds(365 * daySeconds)
    expect(tokens.read(token, ada)).toBeDefined()
    passSeconds(1)
    expect(tokens.read(token, ada)).toBeUndefined()
  })

  test('of an older key is read while that key is kept, and not after', () => {
    const [older, newer] = [key(1), key(2)]
    const token = setUp([older]).tokens.issue(ada, version)
    expect(setUp([newer, older]).tokens.read(token, ada)).toBeDefined()
    expect(setUp([newer]).tokens.read(token, ada)).toBeUndefined()
  })

  test('is read with whichever of two keys of one id made it', () => {
    const [older, newer] = [key(3), key(3)]
    const token = setUp([older]).tokens.issue(ada, version)
    expect(setUp([newer, older]).tokens.read(token, ada)).toBeDefined()
  })

  test('holds no personal data: the address is in it only as a keyed tag', () => {
    const { tokens } = setUp()
    const bytes = Buffer.from(tokens.issue(ada, version), 'base64url')
    expect(bytes).toHaveLength(98)
    expect(bytes.includes('ada')).toBe(false)
    const elsewhere = Buffer.from(setUp().tokens.issue(ada, version), 'base64url')
    expect(elsewhere.subarray(2, 18)).not.toEqual(bytes.subarray(2, 18))
  })

  test('cannot be made without a key, nor for something that is no device id', () => {
    expect(() => setUp([])).toThrow(TypeError)
    expect(() => setUp().tokens.issue(ada, version, 'phone')).toThrow(TypeError)
  })
})
