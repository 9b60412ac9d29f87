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

/** The content of a session cookie's handle. Nothing when this service did not issue it. */
export const readPresentedCookie = (
  codec: Pick<HandleCodec, 'read'>,
  text: string,
): (PresentedCookie & { readonly secret: Buffer }) | undefined => {
  const handle = codec.read(text)
  return handle && { ...handle, secretDigest: secretDigest(handle.secret) }
}

/** About 450 bytes each. */
const maxRemembered = 10_000

export type RememberedCookie = PresentedCookie & {
  /** A step-up revokes the handle by this id. */
  readonly handleId: string
}

/**
 * Caches the content of session cookie handles, because most come again and checking their MAC takes longer than the rest of a lookup in
 * this process. Keys are digests of the text and entries contain no secret, so memory holds no credential. Forged handles are never cached,
 * and so cannot displace valid ones.
 */
export const rememberedCookies = (codec: Pick<HandleCodec, 'read'>) => {
  const remembered = new LruMap<RememberedCookie>(maxRemembered)
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

/** The revocations that this process knows. */
export type KnownRevocations = {
  /** Only `FRESH` guarantees that it is complete. */
  readonly state: () => string
  /** The kind of the entry that revokes a credential with these facts. */
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
  /** Whether Postgres is reachable, as far as this process knows. Without it every request is refused. */
  readonly isStoreThere: () => boolean
  readonly sessions: Pick<CookieSessionStore, 'look'>
  readonly cache: SessionCache | undefined
  /** Makes the presented handle of a step-up the only valid one. Undefined when the session must be looked up again. */
  readonly confirm: (
    session: CookieSession,
    presented: PresentedCookie,
  ) => Promise<CookieSession | undefined>
  /** Called for every lookup that found a session. */
  readonly onUse: (session: CookieSession) => void
  /** Called when a session could not be cached. */
  readonly onError: (error: unknown) => void
}

/** Undefined: forged, ended, expired, revoked, of another generation, or of an account that is not active. */
export type CheckCookieSession = (handle: string) => Promise<CookieSession | undefined>

/** How often a row is read again whose roles changed in between. A race can do that once. */
const attempts = 3

/** A session cookie has no signing key. */
const noKey = { kid: '' }

const never = Number.MAX_SAFE_INTEGER

/** Whether a cached session may be used instead of the row. */
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
 * Finds the session of a session cookie's handle. Revocations are checked first and last, so that neither an old cached session nor a read
 * from before the revocation grants access. One read of the cache serves most lookups. Whatever does not match exactly is decided by one
 * statement in Postgres.
 * @throws store_unavailable when it cannot decide; session_contended
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
    // Checked now and not before the read, so that revocations during the read apply.
    const isTrusted = mayTrustCopies() && coveredBy(copy.session, presented) === undefined
    return isTrusted ? copy.session : undefined
  }

  const keepCopy = (session: CookieSession, digest: Buffer, copiedAtMs: number): void => {
    if (!cache?.isReady()) return
    const copy = { session, secretDigest: digest.toString('base64url'), copiedAtMs }
    cache.write(copy).catch(deps.onError)
  }

  /** The session is cached for the newest handle, once its holder is known to have received it. */
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
      // The row may allow more time than the current settings.
      const isExpired = session && session.absoluteExpiresAtMs <= nowMs
      const isOver = !session || isExpired || (kind !== undefined && kind !== 'claims')
      if (isOver) return undefined
      // If roles changed since the row was read, or the handle was first used meanwhile, the row is read again.
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
  /** Called when a reason could not be read or a session could not be ended. */
  readonly onError: (error: unknown) => void
}

/** Undefined: the handle is forged, its row is gone, a step-up replaced it, or Postgres is unreachable. */
export type ExplainRefusedCookie = (
  handle: string,
  client: RequestFacts,
) => Promise<EndReason | undefined>

/** The handle of a step-up whose response was assumed lost, because the previous one was used for another step-up. */
const isOrphaned = (state: SessionState, generation: number): boolean =>
  state.presentedGeneration < generation && generation < state.generation

/**
 * Finds out why the session of a refused cookie is over, for the holder of a handle of any generation. An orphaned handle proves that two
 * parties hold the session, so it is ended, as in a refresh (`decideRefresh`). The cookie is refused in any case.
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
    // As in a refresh, a request whose caller has disconnected ends nothing.
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
 * The lookup for routes that need no session and do not say why a cookie is refused. An orphaned handle ends its session there too, even by
 * GET, because a thief may present it nowhere else. GET is still safe (RFC 9110 section 9.2.1): the client does not request that end, and a
 * foreign page that makes a browser send a GET ends nothing unless that browser holds an orphaned handle.
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
