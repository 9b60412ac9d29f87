import { expect, test } from 'vitest'
import {
  type Estimate,
  type LocalTime,
  movedAlike,
  offsetOf,
  type Reading,
  refine,
} from '../../src/infra/postgres/database-clock.ts'

/** The truth: Postgres is this much ahead of the local monotonic clock. */
const trueOffsetMs = 1_700_000_000_000

const local = (monotonicMs: number, wallIsAheadMs = 0): LocalTime => ({
  monotonicMs,
  wallMs: trueOffsetMs + monotonicMs + wallIsAheadMs,
})

/** Postgres looked at its clock `answeredMs` after the statement was sent. */
const reading = (sentMs: number, answeredMs: number, receivedMs: number): Reading => ({
  sent: local(sentMs),
  received: local(receivedMs),
  databaseMs: trueOffsetMs + sentMs + answeredMs,
})

const behindMs = (estimate: Estimate | undefined): number =>
  estimate ? trueOffsetMs - offsetOf(estimate) : Number.NaN

test.each([
  ['in the middle', 0, 5, 10, 5],
  ['at once', 0, 0, 10, 10],
  ['at the end', 0, 10, 10, 0],
  ['at the start of two seconds', 0, 0, 2_000, 2_000],
])(
  'a reading that Postgres made %s is behind by its round trip at most',
  (_when, sent, answered, received, expectedMs) => {
    expect(behindMs(refine(undefined, reading(sent, answered, received)))).toBe(expectedMs)
  },
)

test('a longer round trip never makes the estimate worse than the drift of clocks, a shorter one makes it better', () => {
  const quick = refine(undefined, reading(0, 1, 2))
  const afterSlow = refine(quick, reading(3_000, 1_900, 4_900))
  // Two clocks drift by less than 5 ms in five seconds.
  expect(behindMs(afterSlow)).toBeLessThan(7)
  const first = refine(undefined, reading(0, 0, 1_500))
  expect(behindMs(first)).toBe(1_500)
  expect(behindMs(refine(first, reading(2_000, 0, 2_004)))).toBeLessThanOrEqual(4)
})

test('however the round trips vary, the truth stays between the two bounds', () => {
  let estimate: Estimate | undefined
  for (let turn = 0; turn < 1_000; turn += 1) {
    const takenMs = 1 + ((turn * 7_919) % 1_900)
    const answeredMs = (turn * 104_729) % (takenMs + 1)
    estimate = refine(estimate, reading(turn * 3_000, answeredMs, turn * 3_000 + takenMs))
    expect(estimate?.lowMs).toBeLessThanOrEqual(trueOffsetMs)
    expect(estimate?.highMs).toBeGreaterThanOrEqual(trueOffsetMs)
    expect(behindMs(estimate)).toBeGreaterThanOrEqual(0)
  }
})

test('nothing is concluded from a reading during which the machine was suspended or its wall clock set', () => {
  const { sent, received, databaseMs } = reading(0, 1, 2)
  for (const jumpMs of [3_600_000, -3_600_000, 1_500]) {
    const jumped = { ...received, wallMs: received.wallMs + jumpMs }
    expect(movedAlike(sent, jumped)).toBe(false)
    expect(refine(undefined, { sent, received: jumped, databaseMs })).toBeUndefined()
  }
})

test('what was known before a suspension of the machine is forgotten, however wide the new bounds are', () => {
  const known = refine(undefined, reading(0, 1, 2))
  // The monotonic clock stood still for half a second less than the round trip is long: the bounds still overlap.
  const stoodStillMs = 1_500
  const after = refine(known, {
    sent: local(1_000, stoodStillMs),
    received: local(2_990, stoodStillMs),
    databaseMs: trueOffsetMs + stoodStillMs + 1_990,
  })
  // Postgres looked in the middle of the round trip, so 1,000 ms before the reading arrived.
  expect(after && offsetOf(after)).toBe(trueOffsetMs + stoodStillMs - 1_000)
})
