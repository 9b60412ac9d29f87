import { describe, expect, test } from 'vitest'
import { seeded } from '../../../../test/support/run/seeded.ts'
import {
  decodeFeedJson,
  encodeFeedJson,
  FeedFormatError,
  type RevocationEntry,
} from '../../src/wire.ts'
import { entry, idOf, kidOf, randomEntry } from './entries.ts'

const page = (entries: readonly RevocationEntry[]) => ({
  feedId: '7312-1',
  cursor: '9041',
  entries,
})

describe('the JSON form', () => {
  test('is what the documentation says', () => {
    const text = encodeFeedJson(
      page([entry('sid', idOf(0)), entry('sub', idOf(0), { minEpoch: 4 })]),
    )
    expect(text).toBe(
      '{"feed_id":"7312-1","cursor":"9041","entries":[' +
        '{"kind":"sid","key":"AAAAAAAAAAAAAAAAAAAAAA","not_after":1767226600},' +
        '{"kind":"sub","key":"AAAAAAAAAAAAAAAAAAAAAA","min_epoch":4,"not_after":1767226600}]}',
    )
  })

  test('gives back what was written, also a page of more entries than are joined at once', () => {
    const random = seeded()
    for (const count of [0, 1, 4096, 4097, 9000]) {
      const entries = Array.from({ length: count }, () => randomEntry(random))
      expect(decodeFeedJson(encodeFeedJson(page(entries))), `seed ${random.seed}`).toEqual(
        page(entries),
      )
    }
  })

  test('labels with quotes and backslashes survive', () => {
    const odd = { feedId: '"\\', cursor: '\\"}', entries: [] }
    expect(decodeFeedJson(encodeFeedJson(odd))).toEqual(odd)
  })

  test('every beginning of a page is refused', () => {
    const text = encodeFeedJson(page([entry('kid', kidOf(1)), entry('jti', idOf(2))]))
    for (let length = 0; length < text.length; length++) {
      expect(() => decodeFeedJson(text.slice(0, length))).toThrow(FeedFormatError)
    }
  })

  const id = idOf(9)
  test.each([
    ['an unknown kind', { kind: 'user', key: id, not_after: 1 }],
    ['no kind', { key: id, not_after: 1 }],
    ['a key of 15 bytes', { kind: 'jti', key: id.slice(0, 20), not_after: 1 }],
    ['a key with padding', { kind: 'jti', key: `${id}==`, not_after: 1 }],
    ['a key that is not canonical', { kind: 'jti', key: `${id.slice(0, 21)}R`, not_after: 1 }],
    ['a key of base64', { kind: 'jti', key: `+/${id.slice(2)}`, not_after: 1 }],
    ['a key beyond ASCII', { kind: 'jti', key: `é${id.slice(1)}`, not_after: 1 }],
    ['a number as key', { kind: 'jti', key: 7, not_after: 1 }],
    ['a kid of 16 bytes', { kind: 'kid', key: id, not_after: 1 }],
    ['a kid that is not canonical', { kind: 'kid', key: `${'A'.repeat(42)}B`, not_after: 1 }],
    ['everyone with a key', { kind: 'everyone', key: id, min_epoch: 1, not_after: 1 }],
    ['an account without an epoch', { kind: 'sub', key: id, not_after: 1 }],
    ['an account with the epoch null', { kind: 'sub', key: id, min_epoch: null, not_after: 1 }],
    ['a session with an epoch', { kind: 'sid', key: id, min_epoch: 1, not_after: 1 }],
    ['a session with the epoch null', { kind: 'sid', key: id, min_epoch: null, not_after: 1 }],
    ['an epoch that is a text', { kind: 'sub', key: id, min_epoch: '1', not_after: 1 }],
    ['an epoch with a fraction', { kind: 'sub', key: id, min_epoch: 1.5, not_after: 1 }],
    ['a negative epoch', { kind: 'sub', key: id, min_epoch: -1, not_after: 1 }],
    ['an epoch above 2^53 - 1', { kind: 'sub', key: id, min_epoch: 2 ** 53, not_after: 1 }],
    ['no not_after', { kind: 'jti', key: id }],
    ['a not_after of 0', { kind: 'jti', key: id, not_after: 0 }],
    ['a negative not_after', { kind: 'jti', key: id, not_after: -5 }],
    ['a not_after with a fraction', { kind: 'jti', key: id, not_after: 1.25 }],
    ['a not_after in milliseconds', { kind: 'jti', key: id, not_after: 1_767_226_600_000 }],
    ['a not_after that is a text', { kind: 'jti', key: id, not_after: '1' }],
    ['a member that is not known', { kind: 'jti', key: id, not_after: 1, unless: 'x' }],
    ['a list', ['jti', id, 1]],
    ['null', null],
    ['a text', 'jti'],
  ])('an entry with %s is refused, and nothing of its page is used', (_, wrong) => {
    const right = { kind: 'jti', key: id, not_after: 1_767_226_600 }
    const text = JSON.stringify({ feed_id: 'a-1', cursor: '1', entries: [right, wrong] })
    expect(() => decodeFeedJson(text)).toThrow(FeedFormatError)
  })

  test.each([
    ['nothing', ''],
    ['a list', '[]'],
    ['null', 'null'],
    ['no feed_id', '{"cursor":"1","entries":[]}'],
    ['an empty feed_id', '{"feed_id":"","cursor":"1","entries":[]}'],
    ['no cursor', '{"feed_id":"a","entries":[]}'],
    ['a number as cursor', '{"feed_id":"a","cursor":1,"entries":[]}'],
    ['a cursor with a line break', '{"feed_id":"a","cursor":"1\\n","entries":[]}'],
    ['no entries', '{"feed_id":"a","cursor":"1"}'],
    ['entries that are no list', '{"feed_id":"a","cursor":"1","entries":{"length":0}}'],
    ['a member that is not known', '{"feed_id":"a","cursor":"1","entries":[],"more":true}'],
    ['a prototype', '{"feed_id":"a","cursor":"1","entries":[],"__proto__":{}}'],
    ['a number beyond all numbers', '{"feed_id":"a","cursor":"1","entries":[1e309]}'],
    ['something behind it', '{"feed_id":"a","cursor":"1","entries":[]} x'],
  ])('a page that is %s is refused', (_, text) => {
    expect(() => decodeFeedJson(text)).toThrow(FeedFormatError)
  })

  test('what no reader would accept is not written', () => {
    expect(() => encodeFeedJson(page([entry('sub', idOf(1))]))).toThrow(TypeError)
    expect(() => encodeFeedJson(page([entry('jti', '","kind":"kid')]))).toThrow(TypeError)
    expect(() => encodeFeedJson({ ...page([]), cursor: '' })).toThrow(TypeError)
  })
})
