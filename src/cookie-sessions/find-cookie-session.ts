import { hash } from 'node:crypto'
import { LruMap } from 'toad-cache'
import type { RequestFacts } from '../audit/index.ts'
import { hasCallerLeft } from '../lib/caller-presence.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import type { Clock } from '../lib/machine.ts'
import { isSameBytes } from '../lib/signed-bytes.ts'
import {
  type EndReason,
  endSession,
  type HandleCodec,
  handleId,
  type SessionState,
  type SessionStore,
  type SessionStores,
  sessionSecretDigest as secretDigest,
  sessionErrors,
  whyDead,
} from '../sessions/index.ts'
import { type CookieSession, cachedSessionLifetimeMs } from './cookie-session.ts'
import type { CookieSessionStore, PresentedCookie } from './cookie-session-store.ts'
import type { CachedSession, SessionCache } from './session-cache.ts'

/** What the handle of a session cookie says; nothing when we did not make it. */
export const readPresentedCookie = (
  codec: Pick<HandleCodec, 'read'>,
  text: string,
): (PresentedCookie & { readonly secret: Buffer }) | undefined => {
  const handle = codec.read(text)
  return handle && { ...handle, secretDigest: secretDigest(handle.secret) }
}

/** Some 450 bytes each. */
const mostRemembered = 10_000

export type RememberedCookie = PresentedCookie & {
  /** What a step-up revokes it by. */
  readonly handleId: string
}

/**
 * What the handles of session cookies say, remembered for those that come again, as most do: their MAC takes longer than all else of a
 * look-up in this process. By the digest of the text and without the secret, so that nobody finds a credential here. What we did not
 * make is never remembered, and so cannot push out what we did.
 */
export const rememberedCookies = (codec: Pick<HandleCodec, 'read'>) => {
  const remembered = new LruMap<RememberedCookie>(mostRemembered)
  return function readRemembered(text: string): RememberedCookie | undefined {
    const digest = hash('sha256', text, 'base64url')
    const known = remembered.get(digest)
    if (known) return known
    const read = readPresentedCookie(codec, text)
    if (!read) return undefined
    const { sessionId, generation, secretDigest } = read
    const presented = { sessionId, generation, secretDigest, handleId: handleId(read) }
    remembered.set(digest, presented)
    return presented
  }
}

/** What this process knows of what was revoked. */
export type KnownRevocations = {
  /** Only `FRESH` promises that it is complete. */
  readonly state: () => string
  /** The kind of what covers a credential with these facts. */
  readonly revokedBy: (facts: {
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
  readonly cache: SessionCache | undefined
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
  { session, secretDigest: digest, copiedAtMs }: CachedSession,
  presented: PresentedCookie,
  nowMs: number,
): boolean => {
  return (
    isSameBytes(Buffer.from(digest, 'base64url'), presented.secretDigest) &&
    session.sessionId === presented.sessionId &&
    session.generation === presented.generation &&
    Math.abs(nowMs - copiedAtMs) < cachedSessionLifetimeMs &&
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
  const { clock, replica, isStoreThere, sessions, cache } = deps
  const read = rememberedCookies(deps.codec)

  const mayTrustCopies = (): boolean => isStoreThere() && replica.state() === 'FRESH'

  const coveredBy = (
    { accountId, sessionId, epochs }: CookieSession,
    { handleId: jti }: RememberedCookie,
  ): string | undefined =>
    replica.revokedBy({ ...noKey, sub: accountId, sid: sessionId, jti, aep: epochs })

  const fromCopy = async (presented: RememberedCookie): Promise<CookieSession | undefined> => {
    if (!cache || !mayTrustCopies()) return undefined
    const copy = await cache.read(presented.sessionId)
    if (!copy || !fits(copy, presented, clock.nowMs())) return undefined
    // Asked now and not before the read: what was revoked meanwhile counts.
    const isTrusted = mayTrustCopies() && coveredBy(copy.session, presented) === undefined
    return isTrusted ? copy.session : undefined
  }

  const keepCopy = (session: CookieSession, digest: Buffer, copiedAtMs: number): void => {
    if (!cache?.isReady()) return
    const copy = { session, secretDigest: digest.toString('base64url'), copiedAtMs }
    cache.write(copy).catch(deps.onError)
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
      // The row may allow more time than the settings of today.
      const isExpired = session && session.absoluteExpiresAtMs <= nowMs
      const isOver = !session || isExpired || (kind !== undefined && kind !== 'claims')
      if (isOver) return undefined
      // Roles that changed since the row was read, and another first use of the handle, end nothing: the row is read again.
      const settled = kind === undefined ? await found(session, presented, nowMs) : undefined
      if (settled) return settled
    }
    throw sessionErrors.error('session_contended', { retryAfterSeconds: 1 })
  }

  return async function checkCookieSession(text) {
    const presented = read(text)
    if (!presented) return undefined
    const { sessionId, handleId: jti } = presented
    const aep = [never, never, never] as const
    if (replica.revokedBy({ ...noKey, sub: '', sid: sessionId, jti, aep })) return undefined
    const session = (await fromCopy(presented)) ?? (await fromStore(presented))
    if (session) deps.onUse(session)
    return session
  }
}

export type ExplainRefusedDeps = {
  readonly clock: Clock
  readonly codec: Pick<HandleCodec, 'read'>
  readonly sessions: Pick<SessionStore, 'find'>
  readonly inTransaction: InTransaction<SessionStores>
  /** Told of a reason that could not be read, and of a session that could not be ended. */
  readonly onError: (error: unknown) => void
}

/** Undefined: the handle is made up, its row is gone, a step-up replaced it, or Postgres is away. */
export type ExplainRefusedCookie = (
  handle: string,
  client: RequestFacts,
) => Promise<EndReason | undefined>

/** The handle of a step-up whose response was believed lost, because the one before was used for another step-up. */
const isOrphaned = (state: SessionState, generation: number): boolean =>
  state.presentedGeneration < generation && generation < state.generation

/**
 * Why the session of a refused cookie is over, for whoever holds a handle of it, of any generation. An orphaned handle proves that two
 * parties hold the session, so it is ended, as a refresh does (`decideRefresh`). That the cookie is refused is certain without all this.
 */
export const explainRefusedCookie = (deps: ExplainRefusedDeps): ExplainRefusedCookie => {
  const { clock, codec, sessions, inTransaction, onError } = deps

  const explain: ExplainRefusedCookie = async (handle, client) => {
    const presented = readPresentedCookie(codec, handle)
    if (!presented) return undefined
    const { sessionId, generation, secretDigest } = presented
    const state = await sessions.find(sessionId, secretDigest)
    if (!state) return undefined
    const nowMs = clock.nowMs()
    const dead = whyDead(state, nowMs) ?? (state.accountIsActive ? undefined : 'account_disabled')
    if (dead !== undefined || !isOrphaned(state, generation)) return dead
    // As a refresh: nothing is ended on the word of somebody who has gone.
    if (await hasCallerLeft(client)) return undefined
    const end = { sessionId, reason: 'token_reuse', actor: { kind: 'system' }, client } as const
    await inTransaction((stores) => endSession(stores, { ...end, nowMs }))
    return end.reason
  }
  return function explainRefused(handle, client) {
    return explain(handle, client).catch((error: unknown) => {
      onError(error)
      return undefined
    })
  }
}

/** Undefined as with `CheckCookieSession`. */
export type FindCookieSession = (
  handle: string,
  client: RequestFacts,
) => Promise<CookieSession | undefined>

/**
 * The look-up for routes that need no session and do not say why a cookie is refused. An orphaned handle ends its session there too, even
 * by GET: a thief may present it nowhere else. GET is safe all the same (RFC 9110 section 9.2.1), because the client does not ask for that
 * end, and a foreign page that makes a browser send a GET ends nothing unless that browser holds an orphaned handle.
 */
export const findCookieSession = (
  check: CheckCookieSession,
  explainRefused: ExplainRefusedCookie,
): FindCookieSession =>
  async function findSession(handle, client) {
    const session = await check(handle)
    if (!session) await explainRefused(handle, client)
    return session
  }
