import type { AttemptCounter, AttemptCounters } from './attempt-counter.ts'
import { loginErrors } from './errors.ts'

export type ActBudgetDeps = {
  readonly counters: AttemptCounters
  /** Acts in ten minutes of one account or service client; a session may take a quarter of them. */
  readonly loggedActsPerAccount: number
}

/** Who acts. */
export type Spender = {
  /** The account, or the service client. */
  readonly subjectId: string
  /** Undefined: not out of a session, as at a login, or by a service client. */
  readonly sessionId: string | undefined
}

/**
 * To be called before an act that writes to the audit trail or the revocation log, by whoever has proven who they are.
 * @throws too_many_acts, limits_unavailable
 */
export type SpendAct = (spender: Spender) => Promise<void>

const windowSeconds = 600

/** A session that was stolen must not use up what its owner needs to log in. */
const sessionShare = 4

const spend = async (counter: AttemptCounter, key: string): Promise<void> => {
  const point = await counter.take(key).catch((error: unknown) => {
    throw loginErrors.error('limits_unavailable', { retryAfterSeconds: 1, cause: error })
  })
  if (point.count <= point.budget) return
  const retryAfterSeconds = Math.max(1, Math.ceil(point.endsInMs / 1000))
  throw loginErrors.error('too_many_acts', { retryAfterSeconds })
}

/**
 * One account must not fill the logs that all share: every login, step-up and revoked token leaves rows in them. What ends a session costs
 * nothing here. There are only as many sessions as logins, and nobody may be kept from logging out.
 */
export const actBudget = ({
  counters,
  loggedActsPerAccount: attempts,
}: ActBudgetDeps): SpendAct => {
  const bySubject = counters('acts', { attempts, seconds: windowSeconds })
  const bySession = counters('session-acts', {
    attempts: Math.max(1, Math.floor(attempts / sessionShare)),
    seconds: windowSeconds,
  })
  return async ({ subjectId, sessionId }) => {
    // First, so that what a session may not do costs its account nothing.
    if (sessionId !== undefined) await spend(bySession, sessionId)
    await spend(bySubject, subjectId)
  }
}
