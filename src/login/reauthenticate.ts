import type { AccountStores } from '../accounts/index.ts'
import { actorText, type RequestFacts } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import {
  type CookieSession,
  type CookieSessionStore,
  handleId,
  type InTransaction,
  type IssuedCookie,
  sessionErrors,
} from '../sessions/index.ts'
import type { Attempt } from './attempt.ts'
import { attemptOf } from './attempt-of.ts'
import type { DeviceTokens } from './device-token.ts'
import type { RightPassword } from './judge-password.ts'
import { type ProveDeps, provePassword } from './prove-password.ts'
import { recordUnserved } from './record-refusal.ts'
import { recordSuccess } from './record-success.ts'

type RenewalStores = AccountStores & {
  readonly cookieSessions: Pick<CookieSessionStore, 'renew'>
}

export type ReauthenticateDeps = Omit<ProveDeps, 'inTransaction'> & {
  readonly clock: Clock
  readonly devices: Pick<DeviceTokens, 'read'>
  readonly inTransaction: InTransaction<RenewalStores>
  /** Makes the new handle, and the old one dead everywhere. */
  readonly issueRenewed: (renewed: CookieSession, handle: string) => Promise<IssuedCookie>
  readonly idleSeconds: number
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
 * Renewal, revocation of the handle before, count and entry in one transaction. Nothing when the account has changed since its password
 * was judged; nothing in `renewed` when the session has.
 */
const renewFor = (
  { clock, inTransaction, idleSeconds }: ReauthenticateDeps,
  { sessionId, accountId, generation }: CookieSession,
  { account, rehashed }: RightPassword,
  attempt: Attempt,
): Promise<{ readonly renewed: CookieSession | undefined } | undefined> =>
  inTransaction(async ({ accounts, cookieSessions, revocations, audit }) => {
    const locked = await accounts.lock(accountId)
    if (account.accountId !== accountId || locked?.password.phc !== account.password.phc) {
      return undefined
    }
    const { client, deviceId } = attempt
    const nowMs = clock.nowMs()
    const idleExpiresAtMs = nowMs + idleSeconds * 1000
    const renewed = await cookieSessions.renew({ sessionId, generation, nowMs, idleExpiresAtMs })
    if (!renewed) {
      await recordUnserved({ audit }, 'invalid_session', accountId, attempt)
      return { renewed }
    }
    await recordSuccess(accounts, locked, rehashed)
    const actor = { kind: 'account', accountId } as const
    // An instance that holds an older copy of the session must not go by it: no other kind of entry leaves the session alive.
    await revocations.append({
      target: { kind: 'jti', key: handleId({ sessionId, generation }) },
      actor: actorText(actor),
      reason: 'replaced',
    })
    await audit.record({
      event: 'session_reauthenticated',
      outcome: 'success',
      actor,
      accountId,
      sessionId,
      client,
      details: { factor: 'password', knownDevice: deviceId !== undefined },
    })
    return { renewed }
  })

/**
 * Step-up: the person behind a session cookie proves again who they are. The session goes on under a new handle, because whoever may
 * hold a copy of the old one must not rise with its owner. Limits, hashing, answers and audit are those of a log-in; a refusal leaves
 * the session as it was.
 * @throws invalid_session when another request has renewed or ended it meanwhile, and all that `provePassword` throws
 */
export const reauthenticate = (deps: ReauthenticateDeps) => {
  const prove = provePassword(deps)
  return async ({ session, handle, ...rest }: ReauthenticateInput): Promise<IssuedCookie> => {
    const attempt = attemptOf(deps.devices, { ...rest, email: session.email })
    const { renewed } = await prove(attempt, (right) => renewFor(deps, session, right, attempt))
    if (!renewed) throw sessionErrors.error('invalid_session')
    return deps.issueRenewed(renewed, handle)
  }
}
