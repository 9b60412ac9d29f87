import { describe, expect, test } from 'vitest'
import { isLabel } from '../../packages/verifier/src/wire/entry-rules.ts'
import {
  commonCursor,
  cursorOfSnapshot,
  cursorText,
  type FeedCursor,
  hasSeen,
  parseCursor,
} from '../../src/revocation/feed-cursor.ts'
import { seeded } from '../support/run/seeded.ts'

const { seed, next } = seeded()

/** As of a cluster with this many transactions under way, numbers anywhere in 64 bits. */
const someCursor = (count: number): FeedCursor => {
  let last = BigInt(next(2 ** 31)) << BigInt(next(31))
  const numbers = Array.from({ length: count + 1 }, () => {
    last += 1n + BigInt(next(2 ** next(24)))
    return last
  })
  return { running: numbers.slice(0, -1), next: numbers.at(-1) ?? 0n }
}

describe('the cursor of the feed', () => {
  test.each([
    ['700:700:', '700'],
    ['700:705:700,703', '700.3.2'],
    ['700:1700:700', '700.rs'],
    ['1:18446744073709551615:1', '1.3w5e11264sgse'],
    ['18446744073709551615:18446744073709551615:', '18446744073709551615'],
  ])('says all of the snapshot %s in %s', (snapshot, text) => {
    const cursor = cursorOfSnapshot(snapshot)
    expect(cursorText(cursor)).toBe(text)
    expect(parseCursor(text)).toEqual(cursor)
  })

  test(`fits into 255 characters of a URL however many transactions are under way, and never claims more than it has seen (seed ${seed})`, () => {
    for (let round = 0; round < 200; round += 1) {
      const cursor = someCursor(next(1_000))
      const text = cursorText(cursor)
      expect(isLabel(text)).toBe(true)
      expect(encodeURIComponent(text)).toBe(text)
      const kept = parseCursor(text)
      if (!kept) throw new Error(`${text} is not read back`)
      // The oldest, which are the long ones, are kept.
      expect(kept.running).toEqual(cursor.running.slice(0, kept.running.length))
      for (const number of [...cursor.running, cursor.next, cursor.next - 1n, cursor.next + 1n]) {
        if (hasSeen(kept, number)) expect(hasSeen(cursor, number)).toBe(true)
      }
    }
  })

  test(`of several together has seen what each of them has (seed ${seed})`, () => {
    for (let round = 0; round < 100; round += 1) {
      const first = someCursor(next(20))
      const others = Array.from({ length: next(5) }, () => ({
        running: first.running.filter(() => next(2) === 0),
        next: first.next + BigInt(next(50)),
      }))
      const cursors = [first, ...others]
      const common = commonCursor(cursors)
      const from = first.running[0] ?? first.next
      for (let number = from - 2n; number < from + 300n; number += 1n) {
        expect(hasSeen(common, number)).toBe(cursors.every((cursor) => hasSeen(cursor, number)))
      }
      expect(common.running).toEqual(common.running.toSorted((a, b) => Number(a - b)))
    }
  })
})
