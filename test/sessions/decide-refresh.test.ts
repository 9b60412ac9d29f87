import { expect, test } from 'vitest'
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

const decide = (changes: Partial<SessionState>, generation: number, rules = resuming) =>
  decideRefresh({ ...live, ...changes }, { generation, delivery: 'cookie' }, nowMs, rules)

const unknown = { kind: 'unknown' }
const rotate = { kind: 'rotate' }
const repeat = expect.objectContaining({ kind: 'repeat' })
const prolong = { kind: 'prolong', issuedGeneration: 7 }
const resume = { kind: 'resume', issuedGeneration: 7, accountId: live.accountId }
const recover = { kind: 'recover' }
const reuse = { kind: 'end', reason: 'token_reuse', clearsCookie: true }
const disabled = { kind: 'end', reason: 'account_disabled' }

const noGrace: RefreshRules = { ...resuming, graceMs: 0 }
const ending: RefreshRules = { graceMs, lostResponse: 'end' }

const sinceMs = (ms: number) => ({ lastUsedAtMs: nowMs - ms })
const twiceLost = { presentedGeneration: 4 }
const inactive = { accountIsActive: false }

type Case = readonly [
  name: string,
  changes: Partial<SessionState>,
  generations: readonly number[],
  expected: object,
  rules?: RefreshRules,
]

const cases: readonly Case[] = [
  ['the current handle rotates', {}, [7], rotate],
  [
    'R47: a session lives to the last millisecond before its expiry',
    { idleExpiresAtMs: nowMs + 1, absoluteExpiresAtMs: nowMs + 1 },
    [7],
    rotate,
  ],
  ['a handle delivered the other way is unknown', { delivery: 'body' }, [3], unknown],
  ['it is unknown after the end too', { delivery: 'body', ended: 'logout' }, [7], unknown],
  ['R42: the last presented handle gets its successor again', sinceMs(0), [6], repeat],
  ['R42: it does so in the first half of the grace', sinceMs(graceMs / 2 - 1), [6], repeat],
  ['R42: in the second half it prolongs the grace', sinceMs(graceMs / 2), [6], prolong],
  ['R42: the last millisecond belongs to the grace', sinceMs(graceMs - 1), [6], prolong],
  ['R42: after the grace it gets a further one', sinceMs(graceMs), [6], resume],
  ['R42: it gets one however late it comes', sinceMs(13 * 24 * 3600 * 1000), [6], resume],
  ['R42: it gets one at once if the grace is zero', sinceMs(0), [6], resume, noGrace],
  ['it is the same after two lost responses', { ...twiceLost, ...sinceMs(graceMs) }, [4], resume],
  ['two lost responses leave the grace as it is', { ...twiceLost, ...sinceMs(0) }, [4], repeat],
  ['REFRESH_LOST_RESPONSE=end changes no grace', sinceMs(graceMs - 1), [6], prolong, ending],
  ['R41: it ends the session after the grace', sinceMs(graceMs), [6], reuse, ending],
  [
    'R41: it ends the session at once without a grace',
    sinceMs(0),
    [6],
    reuse,
    { ...ending, graceMs: 0 },
  ],
  ['R41: a handle older than the last presented one is theft', sinceMs(0), [0, 1, 5], reuse],
  ['R41: a handle believed lost is theft', { ...twiceLost, ...sinceMs(graceMs) }, [5, 6], reuse],
  ['R41: it is theft within the grace too', { ...twiceLost, ...sinceMs(0) }, [5, 6], reuse],
  ['a generation later than the row knows is recovered', {}, [8, 9, 2_000_000], recover],
  [
    'R45: a disabled account ends the session',
    inactive,
    [7, 9],
    { ...disabled, clearsCookie: true },
  ],
  [
    'R45: it ends the session for a predecessor',
    inactive,
    [6],
    { ...disabled, clearsCookie: false },
  ],
]

test.each(cases.map(([name, ...rest]) => ({ name, rest })))('$name', ({ rest }) => {
  const [changes, generations, expected, rules] = rest
  for (const generation of generations) {
    expect(decide(changes, generation, rules), `${generation}`).toEqual(expected)
  }
})

test('no session is unknown and no sign of theft', () => {
  const presented = { generation: 6, delivery: 'cookie' } as const
  expect(decideRefresh(undefined, presented, nowMs, resuming)).toEqual(unknown)
})

test.each<readonly [Partial<SessionState>, string]>([
  ...endReasons.map((ended) => [{ ended }, ended] as const),
  [{ absoluteExpiresAtMs: nowMs }, 'absolute_expired'],
  [{ idleExpiresAtMs: nowMs }, 'idle_expired'],
  [{ epochHasRisen: true }, 'revoked'],
  // The reason that was recorded first stays the reason.
  [{ ended: 'logout', epochHasRisen: true, idleExpiresAtMs: nowMs }, 'logout'],
])('R44: %j is refused as %s, and only the newest handle clears the cookie', (state, reason) => {
  for (const generation of [7, 8, 6, 2]) {
    const clearsCookie = generation >= 7
    expect(decide(state, generation)).toEqual({ kind: 'refuse', reason, clearsCookie })
  }
})
