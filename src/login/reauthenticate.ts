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
  /** How long a repeated step-up with the same handle gets the same new handle. */
  readonly graceMs: number
}

export type ReauthenticateInput = {
  readonly session: CookieSession
  /** The presented handle. */
  readonly handle: string
  readonly password: string
  readonly deviceToken: string | undefined
  readonly client: RequestFacts
}

/**
 * Renews the session, clears the count and records it, in one transaction. Returns nothing when the account has changed since its password
 * was checked; `renewed` is empty when the session has.
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
 * Step-up: the user of a session cookie proves the password again. The session continues under a new handle, because a copy of the old one
 * must not gain the higher authentication. The old handle stays valid until the new one is presented, so a lost response does no harm
 * (`confirmRenewedCookie`). Limits, hashing, responses and audit are those of a login. A refusal leaves the session unchanged.
 * @throws invalid_session when another request has renewed or ended it meanwhile, and what `provePassword` throws
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
