import type { AccountStores } from '../accounts/index.ts'
import type { RequestFacts } from '../audit/index.ts'
import type { CookieSession, CookieSessionStore, IssuedCookie } from '../cookie-sessions/index.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import { sessionErrors } from '../sessions/index.ts'
import type { DeviceTokens } from './device-token.ts'
import { recordSuccess } from './log-in.ts'
import {
  type Attempt,
  attemptOf,
  type ProveDeps,
  provePassword,
  type RightPassword,
  recordLoginNotCompleted,
} from './prove-password.ts'

type RenewalStores = AccountStores & {
  readonly cookieSessions: Pick<CookieSessionStore, 'renew'>
}

export type ReauthenticateDeps = Omit<ProveDeps, 'inTransaction'> & {
  readonly devices: Pick<DeviceTokens, 'read'>
  readonly inTransaction: InTransaction<RenewalStores>
  readonly issueRenewed: (renewed: CookieSession, handle: string) => IssuedCookie
  readonly idleSeconds: number
  /** How long a step-up that is tried again by the same handle gets the same new handle. */
  readonly graceMs: number
}

export type ReauthenticateInput = {
  readonly session: CookieSession
  /** The handle that opened it. */
  readonly handle: string
  readonly password: string
  readonly deviceToken: string | undefined
  readonly client: RequestFacts
}

/**
 * Renewal, count and entry in one transaction. Nothing when the account has changed since its password was judged; nothing in `renewed`
 * when the session has.
 */
const renewFor = (
  { clock, inTransaction, idleSeconds, graceMs }: ReauthenticateDeps,
  { sessionId, accountId, generation, pendingGeneration }: CookieSession,
  right: RightPassword,
  attempt: Attempt,
): Promise<{ readonly renewed: CookieSession | undefined } | undefined> =>
  inTransaction(async ({ accounts, cookieSessions, audit }) => {
    const { account } = right
    const locked = await accounts.lock(accountId)
    if (account.accountId !== accountId || locked?.password.phc !== account.password.phc) {
      return undefined
    }
    const { client, device } = attempt
    const nowMs = clock.nowMs()
    const idleExpiresAtMs = nowMs + idleSeconds * 1000
    const renewal = { sessionId, generation, nowMs, idleExpiresAtMs, graceMs }
    const renewed = await cookieSessions.renew(renewal)
    if (!renewed) {
      await recordLoginNotCompleted({ audit }, 'invalid_session', accountId, attempt)
      return { renewed }
    }
    await recordSuccess(accounts, locked, right, attempt)
    const actor = { kind: 'account', accountId } as const
    await audit.record({
      event: 'session_reauthenticated',
      outcome: 'success',
      actor,
      accountId,
      sessionId,
      client,
      details: {
        factor: 'password',
        knownDevice: device !== undefined,
        responseLost: pendingGeneration !== undefined,
      },
    })
    return { renewed }
  })

/**
 * Step-up: the person behind a session cookie proves again who they are. The session goes on under a new handle, because whoever may
 * hold a copy of the old one must not rise with its owner. The old one opens the session as it was until the new one is presented, so
 * a response that does not arrive costs nothing (`confirmRenewedCookie`). Limits, hashing, responses and audit are those of a login; a
 * refusal leaves the session as it was.
 * @throws invalid_session when another request has renewed or ended it meanwhile, and all that `provePassword` throws
 */
export const reauthenticate = (deps: ReauthenticateDeps) => {
  const prove = provePassword(deps)
  return async ({ session, handle, ...rest }: ReauthenticateInput): Promise<IssuedCookie> => {
    const presented = attemptOf(deps.devices, { ...rest, email: session.email }, session.sessionId)
    const { renewed } = await prove(presented, (right, attempt) =>
      renewFor(deps, session, right, attempt),
    )
    if (!renewed) throw sessionErrors.error('invalid_session')
    return deps.issueRenewed(renewed, handle)
  }
}

export type Reauthenticate = ReturnType<typeof reauthenticate>
