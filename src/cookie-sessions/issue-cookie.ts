import { actorText } from '../audit/index.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import type { Clock } from '../lib/machine.ts'
import { type HandleCodec, handleId, type SessionStores, sessionErrors } from '../sessions/index.ts'
import type { CookieSession } from './cookie-session.ts'
import type { CookieSessionStore, PresentedCookie } from './cookie-session-store.ts'
import { readPresentedCookie } from './find-cookie-session.ts'
import type { CacheInvalidator } from './session-cache.ts'

export type IssueCookie = { readonly clock: Clock; readonly codec: Pick<HandleCodec, 'write'> }

/** What a login with a session cookie issues. */
export type IssuedCookie = {
  readonly sessionId: string
  readonly handle: string
  /** Whole seconds until the unused session ends. */
  readonly expiresInSeconds: number
  /** Whole seconds until it ends in any case. The browser keeps the cookie this long, because uses do not set it again. */
  readonly absoluteExpiresInSeconds: number
  /** False: the browser keeps it until it closes. */
  readonly persists: boolean
}

export type CookieFacts = {
  readonly sessionId: string
  readonly generation: number
  readonly idleExpiresAtMs: number
  readonly absoluteExpiresAtMs: number
  readonly persists: boolean
}

/** Makes the handle of a cookie session in its current state. Reads and writes no store. */
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
 * The new handle of a session after a committed step-up, made from the handle that was presented.
 * @throws invalid_session for a handle that this service did not issue
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
 * Handles the first use of a step-up's handle: its response has arrived, so the previous handle is revoked everywhere. The same happens
 * when a fail-over lost the commit of the step-up; the session then has its earlier `auth_time`. The cached session is replaced before the
 * response is sent. If the cache is unreachable, the other processes use the revocation.
 * @returns the current session; undefined when it has ended or another request has done this: then look it up again
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
      // A process with an older cached session must not use it. No other kind of entry leaves the session alive.
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
