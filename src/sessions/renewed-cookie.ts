import { actorText } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import type { CookieSession } from './cookie-session.ts'
import type { CookieSessionStore, PresentedCookie } from './cookie-session-store.ts'
import type { CopyKeeper } from './copy-keeper.ts'
import { sessionErrors } from './errors.ts'
import { type HandleCodec, handleId } from './handle.ts'
import { type IssueCookie, type IssuedCookie, issueCookie } from './issue-cookie.ts'
import { readPresentedCookie } from './read-presented-cookie.ts'
import type { InTransaction, SessionStores } from './session-work.ts'

/**
 * The new handle of a session that was renewed and committed, made from the one it was renewed by.
 * @throws invalid_session for a handle that we did not make
 */
export const issueRenewedCookie = (deps: IssueCookie & { readonly codec: HandleCodec }) =>
  function issueRenewed(renewed: CookieSession, handle: string): IssuedCookie {
    const presented = readPresentedCookie(deps.codec, handle)
    if (!presented) throw sessionErrors.error('invalid_session')
    return issueCookie(deps, renewed, presented.secret)
  }

export type ConfirmRenewedDeps = {
  readonly clock: Clock
  readonly inTransaction: InTransaction<
    SessionStores & { readonly cookieSessions: Pick<CookieSessionStore, 'confirm'> }
  >
  readonly keeper: Pick<CopyKeeper, 'replace'> | undefined
}

/**
 * Somebody presents the handle of a step-up for the first time: its response has arrived, so the handle before is revoked everywhere. So it
 * is where a fail-over lost the commit of the step-up; the session then has the `auth_time` of before. The copy is replaced before the
 * request is answered; where the cache is away, the other processes go by the revocation.
 * @returns the session as it is now; undefined when it has ended, or when another request has done this: then it is to be looked up again
 */
export const confirmRenewedCookie = ({ clock, inTransaction, keeper }: ConfirmRenewedDeps) =>
  async function confirmRenewed(
    pending: CookieSession,
    { secretDigest }: Pick<PresentedCookie, 'secretDigest'>,
  ): Promise<CookieSession | undefined> {
    const { sessionId, accountId } = pending
    const copiedAtMs = clock.nowMs()
    const confirmed = await inTransaction(async ({ cookieSessions, revocations, audit }) => {
      const confirmation = await cookieSessions.confirm(pending, copiedAtMs)
      if (!confirmation) return undefined
      const generation = confirmation.replacedGeneration
      // A process that holds an older copy of the session must not go by it: no other kind of entry leaves the session alive.
      await revocations.append({
        target: { kind: 'jti', key: handleId({ sessionId, generation }) },
        actor: actorText({ kind: 'account', accountId }),
        reason: 'replaced',
      })
      if (confirmation.isRecovered) {
        const event = 'generation_recovered'
        const actor = { kind: 'system' } as const
        await audit.record({ event, outcome: 'success', actor, accountId, sessionId })
      }
      return confirmation.session
    })
    if (!confirmed) return undefined
    const digest = secretDigest.toString('base64url')
    await keeper?.replace({ session: confirmed, secretDigest: digest, copiedAtMs })
    return confirmed
  }
