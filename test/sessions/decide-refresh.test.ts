import { describe, expect, test } from 'vitest'
import { decideRefresh, type RefreshRules } from '../../src/refresh/index.ts'
import { endReasons, type SessionState } from '../../src/sessions/session.ts'
import { liveSession } from './live-session.ts'

const nowMs = Date.UTC(2030, 0, 1)
const graceMs = 10_000
const resuming: RefreshRules = { graceMs, lostResponse: 'resume' }

const live = liveSession({
  generation: 7,
  presentedGeneration: 6,
  authenticatedAtMs: nowMs - 60_000,
  idleExpiresAtMs: nowMs + 60_000,
  absoluteExpiresAtMs: nowMs + 120_000,
  lastUsedAtMs: nowMs - 1,
})

const decide = (changes: Partial<SessionState>, generation = 7, rules = resuming) =>
  decideRefresh({ ...live, ...changes }, { generation, delivery: 'cookie' }, nowMs, rules)

const reuse = { kind: 'end', reason: 'token_reuse', clearsCookie: true }

test('the current handle of a live session rotates', () => {
  expect(decide({})).toEqual({ kind: 'rotate' })
})

test('no session, or one delivered the other way, is unknown and no sign of theft', () => {
  const presented = { generation: 6, delivery: 'cookie' } as const
  expect(decideRefresh(undefined, presented, nowMs, resuming)).toEqual({ kind: 'unknown' })
  expect(decide({ delivery: 'body' }, 3)).toEqual({ kind: 'unknown' })
  expect(decide({ delivery: 'body', ended: 'logout' })).toEqual({ kind: 'unknown' })
})

describe('the last presented handle', () => {
  const resume = { kind: 'resume', issuedGeneration: 7, accountId: live.accountId }

  test('R42: gets its successor again until the last millisecond of the grace, and then a further one', () => {
    for (const lastUsedAtMs of [nowMs, nowMs - graceMs / 2 + 1]) {
      expect(decide({ lastUsedAtMs }, 6)).toMatchObject({ kind: 'repeat' })
    }
    for (const lastUsedAtMs of [nowMs - graceMs / 2, nowMs - graceMs + 1]) {
      expect(decide({ lastUsedAtMs }, 6)).toEqual({ kind: 'prolong', issuedGeneration: 7 })
    }
    for (const lastUsedAtMs of [nowMs - graceMs, nowMs - 13 * 24 * 3600 * 1000]) {
      expect(decide({ lastUsedAtMs }, 6)).toEqual(resume)
    }
  })

  test('R42: gets a further successor at once when the grace is zero', () => {
    expect(decide({ lastUsedAtMs: nowMs }, 6, { ...resuming, graceMs: 0 })).toEqual(resume)
  })

  test('is the same one however many responses were lost', () => {
    const twiceLost = { presentedGeneration: 4, lastUsedAtMs: nowMs - graceMs }
    expect(decide(twiceLost, 4)).toEqual(resume)
    expect(decide({ ...twiceLost, lastUsedAtMs: nowMs }, 4)).toMatchObject({ kind: 'repeat' })
  })

  test('R41: ends the session after the grace under REFRESH_LOST_RESPONSE=end', () => {
    const strict: RefreshRules = { graceMs, lostResponse: 'end' }
    expect(decide({ lastUsedAtMs: nowMs - graceMs + 1 }, 6, strict)).toMatchObject({
      kind: 'prolong',
    })
    expect(decide({ lastUsedAtMs: nowMs - graceMs }, 6, strict)).toEqual(reuse)
    expect(decide({ lastUsedAtMs: nowMs }, 6, { ...strict, graceMs: 0 })).toEqual(reuse)
  })
})

test('R41: a handle older than the last presented one is theft at any time, and clears the cookie since every handle died', () => {
  for (const generation of [0, 1, 5]) {
    expect(decide({ lastUsedAtMs: nowMs }, generation)).toEqual(reuse)
  }
})

test('R41: a handle whose response was believed lost is theft at any time, also within the grace', () => {
  for (const generation of [5, 6]) {
    for (const lastUsedAtMs of [nowMs, nowMs - graceMs]) {
      expect(decide({ presentedGeneration: 4, lastUsedAtMs }, generation)).toEqual(reuse)
    }
  }
})

test('a later generation than the row knows is recovered', () => {
  for (const generation of [8, 9, 2_000_000]) {
    expect(decide({}, generation)).toEqual({ kind: 'recover' })
  }
})

describe('what died is refused with its reason, and only the newest handle clears the cookie', () => {
  const cases: readonly (readonly [Partial<SessionState>, string])[] = [
    ...endReasons.map((ended) => [{ ended }, ended] as const),
    [{ absoluteExpiresAtMs: nowMs }, 'absolute_expired'],
    [{ idleExpiresAtMs: nowMs }, 'idle_expired'],
    [{ epochHasRisen: true }, 'revoked'],
    // The reason that was recorded first stays the reason.
    [{ ended: 'logout', epochHasRisen: true, idleExpiresAtMs: nowMs }, 'logout'],
  ]
  test.each(cases)('R44: %j is %s', (state, reason) => {
    expect(decide(state, 7)).toEqual({ kind: 'refuse', reason, clearsCookie: true })
    expect(decide(state, 8)).toEqual({ kind: 'refuse', reason, clearsCookie: true })
    expect(decide(state, 6)).toEqual({ kind: 'refuse', reason, clearsCookie: false })
    expect(decide(state, 2)).toEqual({ kind: 'refuse', reason, clearsCookie: false })
  })
})

test('R47: a session lives to the last millisecond before its expiry', () => {
  expect(decide({ idleExpiresAtMs: nowMs + 1, absoluteExpiresAtMs: nowMs + 1 })).toEqual({
    kind: 'rotate',
  })
})

test('R45: an account that is not active ends the session, also for a predecessor and for a later handle', () => {
  const end = { kind: 'end', reason: 'account_disabled' }
  const inactive = { accountIsActive: false }
  expect(decide(inactive, 7)).toEqual({ ...end, clearsCookie: true })
  expect(decide(inactive, 9)).toEqual({ ...end, clearsCookie: true })
  expect(decide(inactive, 6)).toEqual({ ...end, clearsCookie: false })
})
