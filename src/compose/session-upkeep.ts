import type { Clock } from '../lib/clock.ts'
import {
  type CookieSessionStore,
  type CopyKeeper,
  copyKeeper,
  type SessionCopies,
  type SessionUses,
  sessionUses,
} from '../sessions/index.ts'

/** Where cookie sessions are kept and copied, and what keeps both up to date. */
export type SessionUpkeep = {
  readonly store: CookieSessionStore
  /** None without Redis: then Postgres answers every look-up. */
  readonly copies: SessionCopies | undefined
  readonly keeper: CopyKeeper | undefined
  readonly uses: SessionUses
}

export type SessionUpkeepParts = Pick<SessionUpkeep, 'store' | 'copies'> & {
  readonly clock: Clock
  readonly report: (error: unknown, what: string) => void
  readonly idleSeconds: number
}

export const composeUpkeep = (parts: SessionUpkeepParts): SessionUpkeep => {
  const { store, copies, clock, report, idleSeconds } = parts
  const onError = (error: unknown) => report(error, 'an old copy of a session may be out')
  const keeper = copies && copyKeeper(clock, copies, onError)
  const uses = sessionUses({ clock, sessions: store, keeper, idleSeconds })
  return { store, copies, keeper, uses }
}
