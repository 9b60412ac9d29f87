import { actorText } from '../audit/index.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import type { Clock } from '../lib/machine.ts'
import { type HandleCodec, handleId, type SessionStores, sessionErrors } from '../sessions/index.ts'
import type { CookieSession } from './cookie-session.ts'
import type { CookieSessionStore, PresentedCookie } from './cookie-session-store.ts'
import { readPresentedCookie } from './find-cookie-session.ts'
import type { CacheInvalidator } from './session-cache.ts'

export type IssueCookie = { readonly clock: Clock; readonly codec: Pick<HandleCodec, 'write'> }

/** What a login hands out that is kept by a session cookie. */
export type IssuedCookie = {
  readonly sessionId: string
  readonly handle: string
  /** Whole seconds until the session ends if it is not used again. */
  readonly expiresInSeconds: number
  /** Whole seconds until it ends however much it is used: that long the browser keeps the cookie, which no use sets again. */
  readonly absoluteExpiresInSeconds: number
  /** False: the browser keeps it until it is closed. */
  readonly persists: boolean
}

export type CookieFacts = {
  readonly sessionId: string
  readonly generation: number
  readonly idleExpiresAtMs: number
  readonly absoluteExpiresAtMs: number
  readonly persists: boolean
}

/** Makes the handle of a cookie session as it now stands. Reads and writes nothing. */
export const issueCookie = (
  { clock, codec }: IssueCookie,
  { sessionId, generation, idleExpiresAtMs, absoluteExpiresAtMs, persists }: CookieFacts,
  secret: Buffer,
): IssuedCookie => {
  const nowMs = clock.nowMs()
  const secondsUntil = (ms: number): number => Math.max(0, Math.ceil((ms - nowMs) / 1000))
  return {
    sessionId,
    handle: codec.write({ sessionId, generation, secret }),
    expiresInSeconds: secondsUntil(idleExpiresAtMs),
    absoluteExpiresInSeconds: secondsUntil(absoluteExpiresAtMs),
    persists,
  }
}

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
  readonly invalidator: Pick<CacheInvalidator, 'replace'> | undefined
}

/**
 * Somebody presents the handle of a step-up for the first time: its response has arrived, so the handle before is revoked everywhere. So it
 * is where a fail-over lost the commit of the step-up; the session then has the `auth_time` of before. The copy is replaced before the
 * request is answered; where the cache is away, the other processes go by the revocation.
 * @returns the session as it is now; undefined when it has ended, or when another request has done this: then it is to be looked up again
 */
export const confirmRenewedCookie = ({ clock, inTransaction, invalidator }: ConfirmRenewedDeps) =>
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
    await invalidator?.replace({ session: confirmed, secretDigest: digest, copiedAtMs })
    return confirmed
  }
