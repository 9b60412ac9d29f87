import { expect, test } from 'vitest'
import { systemRandom } from '../../src/lib/machine.ts'

test.each([0, 1, 16, 32, 256, 257, 10_000])('gives exactly %i bytes', (byteCount) => {
  expect(systemRandom(byteCount)).toHaveLength(byteCount)
})

test('R51: never gives the same bytes twice, also where one filling of the pool ends and the next begins', () => {
  const seen = new Set<string>()
  for (let round = 0; round < 2_000; round += 1) seen.add(systemRandom(16).toString('hex'))
  expect(seen.size).toBe(2_000)
})

test('what was handed out belongs to the caller: later requests do not change it', () => {
  const first = systemRandom(32)
  const copy = Buffer.from(first)
  for (let round = 0; round < 500; round += 1) systemRandom(32)
  expect(first.equals(copy)).toBe(true)
  expect(first.equals(Buffer.alloc(32))).toBe(false)
})
