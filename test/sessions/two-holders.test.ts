import { expect, test } from 'vitest'
import { decideRefresh, type RefreshRules } from '../../src/refresh/index.ts'
import type { SessionState } from '../../src/sessions/session.ts'
import { liveSession } from './live-session.ts'

/**
 * All histories of a session up to some length, over the pure decision: who presents which handle, whether the response arrives, and
 * whether the grace has passed since the last one.
 */

const graceMs = 10_000
const rules: RefreshRules = { graceMs, lostResponse: 'resume' }

type Session = {
  readonly newest: number
  readonly presented: number
  readonly issuedAtMs: number
  readonly nowMs: number
  readonly isEnded: boolean
}

/** What a party keeps: the handle it received last, and the one it presented last, which an older cookie jar brings back. */
type Holder = { readonly received: number; readonly presented: number }

const fresh: Session = { newest: 0, presented: -1, issuedAtMs: 0, nowMs: 0, isEnded: false }

const stateOf = ({ newest, presented, issuedAtMs }: Session): SessionState =>
  liveSession({ generation: newest, presentedGeneration: presented, lastUsedAtMs: issuedAtMs })

/** The session after a handle was presented, as the store carries the decision out. */
const present = (before: Session, generation: number, waitsMs: number): Session => {
  const nowMs = before.nowMs + waitsMs
  const session = { ...before, nowMs }
  const { kind } = decideRefresh(stateOf(session), { generation, delivery: 'cookie' }, nowMs, rules)
  switch (kind) {
    case 'rotate':
      return {
        ...session,
        newest: session.newest + 1,
        presented: session.newest,
        issuedAtMs: nowMs,
      }
    case 'resume':
      return { ...session, newest: session.newest + 1, issuedAtMs: nowMs }
    case 'repeat':
      return session
    case 'prolong':
      return { ...session, issuedAtMs: nowMs }
    case 'end':
      return { ...session, isEnded: true }
    default:
      throw new Error(`${kind} can not happen here`)
  }
}

const waits = [1, graceMs - 1, graceMs]

/** A holder presents the handle that they received last; the response arrives, or is lost. */
const presentations = (session: Session, { received }: Holder, waitsMs: number) => {
  const after = present(session, received, waitsMs)
  const arrived: Holder = { received: after.newest, presented: received }
  const lost: Holder = { received, presented: received }
  return [
    [after, arrived],
    [after, lost],
  ] as const
}

test('I13: no history of one holder with lost responses and older cookie jars ends a session', () => {
  let histories = 0
  let ended = 0
  const walk = (session: Session, holder: Holder, left: number): void => {
    histories += 1
    if (session.isEnded) ended += 1
    if (left === 0) return
    for (const waitsMs of waits) {
      for (const handle of new Set([holder.received, holder.presented])) {
        const after = present(session, handle, waitsMs)
        const arrived = { received: after.newest, presented: handle }
        const lost = { received: handle, presented: handle }
        walk(after, arrived, left - 1)
        walk(after, lost, left - 1)
      }
    }
  }
  walk(fresh, { received: 0, presented: 0 }, 6)
  expect(ended).toBe(0)
  expect(histories).toBeGreaterThan(100_000)
})

test('I14: of two holders with different handles, the session has ended when each has presented theirs outside the grace', () => {
  let pairs = 0
  let undetected = 0
  let stolen = 0
  const checkDetected = (session: Session, first: Holder, second: Holder): void => {
    for (const order of [
      [first, second],
      [second, first],
    ]) {
      const last = order.reduce(
        (now, { received }) => (now.isEnded ? now : present(now, received, graceMs)),
        session,
      )
      if (!last.isEnded) undetected += 1
    }
    pairs += 1
  }
  const walkBoth = (session: Session, owner: Holder, thief: Holder, left: number): void => {
    if (session.isEnded) return
    if (thief.received !== owner.received) checkDetected(session, owner, thief)
    if (left === 0) return
    for (const waitsMs of waits) {
      for (const [after, next] of presentations(session, owner, waitsMs)) {
        walkBoth(after, next, thief, left - 1)
      }
      for (const [after, next] of presentations(session, thief, waitsMs)) {
        walkBoth(after, owner, next, left - 1)
      }
    }
  }
  const walk = (session: Session, owner: Holder, left: number): void => {
    stolen += 1
    walkBoth(session, owner, owner, left)
    if (left === 0) return
    for (const waitsMs of waits) {
      for (const [after, next] of presentations(session, owner, waitsMs)) {
        walk(after, next, left - 1)
      }
    }
  }
  walk(fresh, { received: 0, presented: 0 }, 5)
  expect(undetected).toBe(0)
  expect(pairs).toBeGreaterThan(10_000)
  expect(stolen).toBeGreaterThan(1_000)
})
