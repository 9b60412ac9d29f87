import { describe, expect, test } from 'vitest'
import { seeded } from '../../../../test/support/run/seeded.ts'
import {
  decodeFeedBinary,
  encodeFeedBinary,
  FeedFormatError,
  type FeedPage,
  type RevocationEntry,
} from '../../src/wire.ts'
import { entry, idOf, kidOf, randomEntry } from './entries.ts'

const page = (entries: readonly RevocationEntry[]): FeedPage => ({
  feedId: '7312-1',
  cursor: '9041',
  entries,
})

const oneOfEach = [
  entry('jti', idOf(1)),
  entry('sid', idOf(2)),
  entry('sub', idOf(3), { minEpoch: 4 }),
  entry('claims', idOf(4), { minEpoch: Number.MAX_SAFE_INTEGER }),
  entry('kid', kidOf(5)),
  entry('everyone', '', { minEpoch: 2 ** 32 }),
]

/** Everything in it, also what is made only when it is asked for. */
const readAll = (bytes: Uint8Array) => {
  const { entries, ...rest } = decodeFeedBinary(bytes)
  return { ...rest, entries: [...entries] }
}

const hex = (text: string): Uint8Array => Buffer.from(text.replace(/\s/g, ''), 'hex')

const head = '43524556 01 06 373331322d31 04 39303431'
const session = `02 69553a00 ${'02'.repeat(16)}`

describe('the binary form', () => {
  test('is what the documentation says, byte by byte', () => {
    const notAfter = 0x69553a00
    const bytes = encodeFeedBinary(
      page([
        entry('sid', idOf(2), { notAfter }),
        entry('sub', idOf(3), { minEpoch: 2 ** 32 + 5, notAfter }),
        entry('kid', kidOf(4), { notAfter }),
        entry('everyone', '', { minEpoch: 6, notAfter }),
      ]),
    )
    const entries = [
      session,
      `03 69553a00 ${'03'.repeat(16)} 0000000100000005`,
      `05 69553a00 ${'04'.repeat(32)}`,
      '06 69553a00 0000000000000006',
    ]
    expect(Buffer.from(bytes).toString('hex')).toBe(
      Buffer.from(hex(`${head} 00000004 ${entries.join('')}`)).toString('hex'),
    )
  })

  test('takes 21 bytes for a token or a session', () => {
    const empty = encodeFeedBinary(page([])).length
    expect(encodeFeedBinary(page([entry('jti', idOf(1))])).length - empty).toBe(21)
    expect(encodeFeedBinary(page([entry('sid', idOf(1))])).length - empty).toBe(21)
  })

  test('gives back what was written, for every kind and any page', () => {
    const random = seeded()
    const pages = [
      [],
      oneOfEach,
      Array.from({ length: 500 }, () => randomEntry(random)),
      Array.from({ length: 3 }, () => randomEntry(random)),
    ]
    for (const entries of pages) {
      const bytes = encodeFeedBinary(page(entries))
      expect(readAll(bytes), `seed ${random.seed}`).toEqual(page(entries))
      expect(decodeFeedBinary(bytes).entries.length).toBe(entries.length)
    }
  })

  test('can be gone through twice, and lies anywhere in its buffer', () => {
    const bytes = encodeFeedBinary(page(oneOfEach))
    const surrounded = new Uint8Array(bytes.length + 20).fill(7)
    surrounded.set(bytes, 10)
    const { entries } = decodeFeedBinary(surrounded.subarray(10, 10 + bytes.length))
    expect([...entries]).toEqual(oneOfEach)
    expect([...entries]).toEqual(oneOfEach)
  })

  test('every beginning of a page is refused, and so is a page with something behind it', () => {
    const bytes = encodeFeedBinary(page(oneOfEach))
    for (let length = 0; length < bytes.length; length++) {
      expect(() => decodeFeedBinary(bytes.subarray(0, length)), `${length} bytes`).toThrow(
        FeedFormatError,
      )
    }
    for (const extra of [[0], [1], [...encodeFeedBinary(page([]))]]) {
      expect(() => decodeFeedBinary(Uint8Array.from([...bytes, ...extra]))).toThrow(FeedFormatError)
    }
  })

  test('damaged bytes give a page of proper entries or a FeedFormatError, never anything else', () => {
    const random = seeded()
    const whole = encodeFeedBinary(page(oneOfEach))
    let refused = 0
    for (let round = 0; round < 5000; round++) {
      const bytes = Uint8Array.from(whole)
      for (let flips = random.next(3); flips >= 0; flips--) {
        const at = random.next(bytes.length)
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.next(8))
      }
      try {
        const read = readAll(bytes)
        // Whatever it says now, it can be written again and is the same page.
        expect(Buffer.from(encodeFeedBinary(read)).equals(bytes)).toBe(true)
      } catch (error) {
        expect(error, `seed ${random.seed}`).toBeInstanceOf(FeedFormatError)
        refused += 1
      }
    }
    expect(refused).toBeGreaterThan(0)
  })

  test.each([
    ['another magic', `43524557 01 06 373331322d31 04 39303431 00000000`],
    ['another version', `43524556 02 06 373331322d31 04 39303431 00000000`],
    ['an empty feed_id', '43524556 01 00 04 39303431 00000000'],
    ['an empty cursor', '43524556 01 06 373331322d31 00 00000000'],
    ['a cursor with a space', '43524556 01 06 373331322d31 04 39303420 00000000'],
    ['a count above its entries', `${head} 00000002 ${session}`],
    ['a count of four thousand million', `${head} ffffffff ${session}`],
    ['a count below its entries', `${head} 00000001 ${session} ${session}`],
    ['kind 0', `${head} 00000001 00 69553a00 ${'02'.repeat(16)}`],
    ['kind 7', `${head} 00000001 07 69553a00 ${'02'.repeat(16)}`],
    ['no not_after', `${head} 00000001 02 00000000 ${'02'.repeat(16)}`],
    ['an epoch above 2^53 - 1', `${head} 00000001 06 69553a00 0020000000000000`],
    ['nothing at all', ''],
  ])('%s is refused', (_, text) => {
    expect(() => decodeFeedBinary(hex(text))).toThrow(FeedFormatError)
  })

  test('what no reader would accept is not written', () => {
    const wrong: RevocationEntry[] = [
      entry('jti', 'short'),
      entry('jti', idOf(1), { minEpoch: 1 }),
      entry('sub', idOf(1)),
      entry('sub', idOf(1), { minEpoch: 2 ** 53 }),
      entry('sid', idOf(1), { notAfter: 2 ** 32 }),
      entry('kid', idOf(1)),
      entry('everyone', idOf(1), { minEpoch: 1 }),
    ]
    for (const one of wrong) expect(() => encodeFeedBinary(page([one]))).toThrow(TypeError)
    expect(() => encodeFeedBinary({ ...page([]), feedId: '' })).toThrow(TypeError)
    expect(() => encodeFeedBinary({ ...page([]), cursor: 'x'.repeat(256) })).toThrow(TypeError)
  })
})
