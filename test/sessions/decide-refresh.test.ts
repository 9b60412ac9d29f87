import { describe, expect, test } from 'vitest'
import { decideRefresh, endReasons, type SessionState } from '../../src/sessions/session.ts'

const nowMs = Date.UTC(2030, 0, 1)
const graceMs = 10_000

const live: SessionState = {
  sessionId: 'AAAAAAAAAAAAAAAAAAAAAA',
  accountId: 'AQAAAAAAAAAAAAAAAAAAAA',
  generation: 7,
  clientId: 'first-party',
  audience: 'https://api.example.com',
  scope: 'account',
  amr: ['pwd'],
  acr: 'aal1',
  authenticatedAtMs: nowMs - 60_000,
  idleExpiresAtMs: nowMs + 60_000,
  absoluteExpiresAtMs: nowMs + 120_000,
  roles: [],
  claimsEpoch: 0,
  kind: 'token',
  globalEpoch: 1,
  accountEpoch: 0,
  delivery: 'cookie',
  lastUsedAtMs: nowMs - 1,
  ended: undefined,
  accountIsActive: true,
  epochHasRisen: false,
}

const decide = (changes: Partial<SessionState>, generation = 7, grace = graceMs) =>
  decideRefresh({ ...live, ...changes }, { generation, delivery: 'cookie' }, nowMs, grace)

test('the current handle of a live session rotates', () => {
  expect(decide({})).toEqual({ kind: 'rotate' })
})

test('no session, or one delivered the other way, is unknown and no sign of theft', () => {
  const presented = { generation: 6, delivery: 'cookie' } as const
  expect(decideRefresh(undefined, presented, nowMs, graceMs)).toEqual({ kind: 'unknown' })
  expect(decide({ delivery: 'body' }, 3)).toEqual({ kind: 'unknown' })
  expect(decide({ delivery: 'body', ended: 'logout' })).toEqual({ kind: 'unknown' })
})

describe('the direct predecessor', () => {
  const reuse = { kind: 'end', reason: 'token_reuse', clearsCookie: true }

  test('R42: gets its successor again until the last millisecond of the grace', () => {
    for (const lastUsedAtMs of [nowMs, nowMs - graceMs + 1]) {
      expect(decide({ lastUsedAtMs }, 6)).toMatchObject({ kind: 'repeat' })
    }
    expect(decide({ lastUsedAtMs: nowMs - graceMs }, 6)).toEqual(reuse)
  })

  test('R42: gets nothing when the grace is zero', () => {
    expect(decide({ lastUsedAtMs: nowMs }, 6, 0)).toEqual(reuse)
  })
})

test('R41: any older generation is theft at any time, and clears the cookie since every handle died', () => {
  for (const generation of [0, 1, 5]) {
    const reuse = { kind: 'end', reason: 'token_reuse', clearsCookie: true }
    expect(decide({ lastUsedAtMs: nowMs }, generation)).toEqual(reuse)
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
