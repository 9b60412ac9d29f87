import { expect, test } from 'vitest'
import { ttlSet } from '../../src/oauth/authenticate-service-client.ts'
import { fakeClock } from '../support/fake-clock.ts'

test('remembers for the time it was made for, from when the thing was true and not from when it was told', () => {
  const clock = fakeClock()
  const memory = ttlSet({ clock, keepMs: 5_000, most: 10 })
  const sinceMs = clock.monotonicMs()
  clock.advance(2_000)
  memory.add('a', sinceMs)
  expect(memory.has('a')).toBe(true)
  expect(memory.has('b')).toBe(false)
  clock.advance(2_999)
  expect(memory.has('a')).toBe(true)
  clock.advance(1)
  expect(memory.has('a')).toBe(false)
})

test('asking does not prolong it; being told again does', () => {
  const clock = fakeClock()
  const memory = ttlSet({ clock, keepMs: 5_000, most: 10 })
  memory.add('asked', clock.monotonicMs())
  memory.add('told', clock.monotonicMs())
  clock.advance(4_000)
  expect(memory.has('asked')).toBe(true)
  memory.add('told', clock.monotonicMs())
  clock.advance(1_000)
  expect([memory.has('asked'), memory.has('told')]).toEqual([false, true])
})

test('holds no more than it was told to; what was added longest ago makes room', () => {
  const clock = fakeClock()
  const memory = ttlSet({ clock, keepMs: 5_000, most: 2 })
  for (const key of ['a', 'b', 'a', 'c']) memory.add(key, clock.monotonicMs())
  expect(['a', 'b', 'c'].filter(memory.has)).toEqual(['a', 'c'])
})
