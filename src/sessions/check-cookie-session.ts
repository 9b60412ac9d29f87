import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../lib/clock.ts'
import type { CookieSession } from './cookie-session.ts'
import type { CookieSessionStore, PresentedCookie } from './cookie-session-store.ts'
import { sessionErrors } from './errors.ts'
import type { HandleCodec } from './handle.ts'
import { type RememberedCookie, rememberedCookies } from './remembered-cookies.ts'
import { copyLifetimeMs, type SessionCopies, type SessionCopy } from './session-copies.ts'

/** What this process knows of what was revoked. */
export type KnownRevocations = {
  /** Only `FRESH` promises that it is complete. */
  readonly state: () => string
  /** The kind of what covers a credential with these facts. */
  readonly covers: (facts: {
    readonly sub: string
    readonly sid: string
    readonly jti: string
    readonly kid: string
    readonly aep: readonly [number, number, number]
  }) => string | undefined
}

export type CheckCookieSessionDeps = {
  readonly clock: Clock
  readonly codec: Pick<HandleCodec, 'read'>
  readonly replica: KnownRevocations
  /** Whether Postgres is there, as far as this process knows: without it nobody passes. */
  readonly isStoreThere: () => boolean
  readonly sessions: Pick<CookieSessionStore, 'look'>
  readonly copies: SessionCopies | undefined
  /** Makes the presented handle of a step-up the only one; undefined when the session is to be looked up again. */
  readonly confirm: (
    session: CookieSession,
    presented: PresentedCookie,
  ) => Promise<CookieSession | undefined>
  /** Told of every look-up that found a session. */
  readonly onUse: (session: CookieSession) => void
  /** Told of copies that could not be kept. */
  readonly onError: (error: unknown) => void
}

/** Undefined: made up, ended, expired, revoked, of another generation, or of an account that is not active. */
export type CheckCookieSession = (handle: string) => Promise<CookieSession | undefined>

/** How often a row is read again whose roles changed in between: a race can do that once. */
const attempts = 3

/** A session cookie has no signing key. */
const noKey = { kid: '' }

const never = Number.MAX_SAFE_INTEGER

/** All that a copy must be to stand for the row. */
const fits = (
  { session, secretDigest: digest, copiedAtMs }: SessionCopy,
  presented: PresentedCookie,
  nowMs: number,
): boolean => {
  const known = Buffer.from(digest, 'base64url')
  return (
    known.length === presented.secretDigest.length &&
    timingSafeEqual(known, presented.secretDigest) &&
    session.sessionId === presented.sessionId &&
    session.generation === presented.generation &&
    Math.abs(nowMs - copiedAtMs) < copyLifetimeMs &&
    session.idleExpiresAtMs > nowMs &&
    session.absoluteExpiresAtMs > nowMs
  )
}

/**
 * Whose session the handle of a session cookie opens. What is revoked is asked first and last, so that neither an old copy nor a read
 * that began before the revocation lets anybody in; one read of the cache answers most look-ups, and whatever does not fit exactly is
 * decided by one statement in Postgres.
 * @throws store_unavailable when it cannot be known; session_contended
 */
export const checkCookieSession = (deps: CheckCookieSessionDeps): CheckCookieSession => {
  const { clock, replica, isStoreThere, sessions, copies } = deps
  const read = rememberedCookies(deps.codec)

  const mayTrustCopies = (): boolean => isStoreThere() && replica.state() === 'FRESH'

  const coveredBy = (
    { accountId, sessionId, epochs }: CookieSession,
    { handleId: jti }: RememberedCookie,
  ): string | undefined =>
    replica.covers({ ...noKey, sub: accountId, sid: sessionId, jti, aep: epochs })

  const fromCopy = async (presented: RememberedCookie): Promise<CookieSession | undefined> => {
    if (!copies || !mayTrustCopies()) return undefined
    const copy = await copies.read(presented.sessionId)
    if (!copy || !fits(copy, presented, clock.nowMs())) return undefined
    // Asked now and not before the read: what was revoked meanwhile counts.
    const stands = mayTrustCopies() && coveredBy(copy.session, presented) === undefined
    return stands ? copy.session : undefined
  }

  const keepCopy = (session: CookieSession, digest: Buffer, copiedAtMs: number): void => {
    if (!copies?.isReady()) return
    const copy = { session, secretDigest: digest.toString('base64url'), copiedAtMs }
    copies.write(copy).catch(deps.onError)
  }

  /** The copy is for the newest handle, once its holder is known to have received it. */
  const found = async (
    session: CookieSession,
    presented: RememberedCookie,
    nowMs: number,
  ): Promise<CookieSession | undefined> => {
    const { pendingGeneration, generation } = session
    if (pendingGeneration === generation) return deps.confirm(session, presented)
    if (pendingGeneration === undefined) keepCopy(session, presented.secretDigest, nowMs)
    return session
  }

  const fromStore = async (presented: RememberedCookie): Promise<CookieSession | undefined> => {
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const nowMs = clock.nowMs()
      const session = await sessions.look(presented, nowMs)
      const kind = session && coveredBy(session, presented)
      const isOver = !session || (kind !== undefined && kind !== 'claims')
      if (isOver) return undefined
      // Roles that changed since the row was read, and another first use of the handle, end nothing: the row is read again.
      const settled = kind === undefined ? await found(session, presented, nowMs) : undefined
      if (settled) return settled
    }
    throw sessionErrors.error('session_contended', { retryAfterSeconds: 1 })
  }

  return async (text) => {
    const presented = read(text)
    if (!presented) return undefined
    const { sessionId, handleId: jti } = presented
    const aep = [never, never, never] as const
    if (replica.covers({ ...noKey, sub: '', sid: sessionId, jti, aep })) return undefined
    const session = (await fromCopy(presented)) ?? (await fromStore(presented))
    if (session) deps.onUse(session)
    return session
  }
}
