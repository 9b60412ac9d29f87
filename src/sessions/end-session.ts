import { type Actor, type AuditEvent, actorText, type RequestFacts } from '../audit/index.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import type { Clock } from '../lib/machine.ts'
import { type HandleCodec, secretDigest } from './credentials.ts'
import {
  type Delivery,
  type EndReason,
  type SessionFacts,
  type SessionState,
  sessionErrors,
  whyDead,
} from './session.ts'
import type { SessionStores } from './session-store.ts'

export type EndedSession = {
  readonly sessionId: string
  readonly accountId: string
  readonly reason: EndReason
  readonly actor: Actor
  readonly client?: RequestFacts
  readonly details?: NonNullable<AuditEvent['details']>
}

export type SessionEnd = Omit<EndedSession, 'accountId'> & {
  readonly nowMs: number
  /** If set, only a session of this account is ended. */
  readonly accountId?: string
}

/** Revokes the access tokens of an ended session and records its end. Every end of a session does this, in the transaction that ends it. */
export const recordEnd = async (
  { revocations, audit }: Pick<SessionStores, 'revocations' | 'audit'>,
  ended: EndedSession,
): Promise<void> => {
  const { sessionId, reason, actor } = ended
  await revocations.append({
    target: { kind: 'sid', key: sessionId },
    actor: actorText(actor),
    reason,
  })
  await audit.record({
    event: eventOf(reason),
    outcome: reason === 'token_reuse' ? 'failure' : 'success',
    ...ended,
  })
}

/**
 * Ends one session, revokes its access tokens and records it, inside the caller's transaction.
 * @returns false when there is no such session or it has already ended: then nothing is written
 */
export const endSession = async (
  stores: SessionStores,
  { nowMs, accountId, ...end }: SessionEnd,
): Promise<boolean> => {
  const ended = await stores.sessions.end(end.sessionId, end.reason, nowMs, accountId)
  if (!ended) return false
  await recordEnd(stores, { ...end, accountId: ended.accountId })
  return true
}

const eventOf = (reason: EndReason): 'logout' | 'token_reuse' | 'session_ended' =>
  reason === 'logout' || reason === 'token_reuse' ? reason : 'session_ended'

export type OwnSessionsDeps = {
  readonly clock: Clock
  readonly inTransaction: InTransaction<SessionStores>
}

/** The user of a verified access token or session cookie. */
export type Owner = {
  readonly accountId: string
  readonly sessionId: string
  readonly client: RequestFacts
}

/** Ends the session that makes the request. A second call changes nothing. */
export const logOut =
  ({ clock, inTransaction }: OwnSessionsDeps) =>
  async ({ accountId, sessionId, client }: Owner): Promise<void> => {
    await inTransaction((stores) =>
      endSession(stores, {
        sessionId,
        accountId,
        reason: 'logout',
        nowMs: clock.nowMs(),
        actor: { kind: 'account', accountId },
        client,
      }),
    )
  }

export type LogOut = ReturnType<typeof logOut>

/**
 * Ends one of the owner's sessions, on request of any of them.
 * @throws session_not_found when it is not theirs or has ended
 */
export const endOwnSession =
  ({ clock, inTransaction }: OwnSessionsDeps) =>
  async (sessionId: string, { accountId, client }: Owner): Promise<void> => {
    const ended = await inTransaction((stores) =>
      endSession(stores, {
        sessionId,
        accountId,
        reason: 'revoked',
        nowMs: clock.nowMs(),
        actor: { kind: 'account', accountId },
        client,
      }),
    )
    if (!ended) throw sessionErrors.error('session_not_found')
  }

export type EndOwnSession = ReturnType<typeof endOwnSession>

/** Ends all the owner's sessions, or all except the one that makes the request. Returns how many ended. */
export const endOwnSessions =
  ({ clock, inTransaction }: OwnSessionsDeps) =>
  async ({ accountId, sessionId, client }: Owner, keepsCurrent: boolean): Promise<number> =>
    inTransaction(async (stores) => {
      const reason = 'revoked'
      const kept = keepsCurrent ? sessionId : undefined
      const ended = await stores.sessions.endAllOfAccount(accountId, reason, clock.nowMs(), kept)
      const actor = { kind: 'account', accountId } as const
      for (const one of ended) {
        await recordEnd(stores, { sessionId: one, accountId, reason, actor, client })
      }
      return ended.length
    })

export type EndOwnSessions = ReturnType<typeof endOwnSessions>

export type EndPresentedDeps = {
  readonly clock: Clock
  readonly codec: HandleCodec
  readonly inTransaction: InTransaction<SessionStores>
}

/**
 * Logs out by session cookie. A handle of any generation ends its session. A handle from before a step-up no longer opens anything, but its
 * holder gets "logged out", which must be true. A forged handle changes nothing and is no error.
 */
export const endCookieSession =
  ({ clock, codec, inTransaction }: EndPresentedDeps) =>
  async (presented: string, client: RequestFacts): Promise<void> => {
    const handle = codec.read(presented)
    if (!handle) return
    const { sessionId } = handle
    await inTransaction(async (stores) => {
      const state = await stores.sessions.find(sessionId, secretDigest(handle.secret))
      if (!state) return
      const actor = { kind: 'account', accountId: state.accountId } as const
      await endSession(stores, { sessionId, reason: 'logout', nowMs: clock.nowMs(), actor, client })
    })
  }

export type EndCookieSession = ReturnType<typeof endCookieSession>

export type PresentedInput = {
  readonly presented: string
  readonly delivery: Delivery
  readonly client: RequestFacts
}

/**
 * Logs out by refresh token. A handle of any generation ends its session. A forged handle, or one whose session is gone, changes nothing
 * and is no error, because the caller is logged out either way.
 */
export const endPresentedSession =
  ({ clock, codec, inTransaction }: EndPresentedDeps) =>
  async ({ presented, delivery, client }: PresentedInput): Promise<void> => {
    const handle = codec.read(presented)
    if (!handle) return
    const { sessionId } = handle
    await inTransaction(async (stores) => {
      const state = await stores.sessions.find(sessionId, secretDigest(handle.secret))
      if (!state || state.delivery !== delivery) return
      const { accountId } = state
      const actor = { kind: 'account', accountId } as const
      await endSession(stores, { sessionId, reason: 'logout', nowMs: clock.nowMs(), actor, client })
    })
  }

export type EndPresentedSession = ReturnType<typeof endPresentedSession>

/** The handles in the cookies that a browser sends with a login, unchecked. */
export type PresentedCookies = {
  readonly session: string | undefined
  readonly refresh: string | undefined
}

/** For a login whose response sets no cookie: the browser keeps its cookies. */
export const noCookies: PresentedCookies = { session: undefined, refresh: undefined }

/** Which of the presented cookies the new session replaces. */
export type ReplacedCookies = { readonly session: boolean; readonly refresh: boolean }

type LoggedIn = Pick<SessionFacts, 'accountId' | 'kind'>

export type EndReplacedDeps = {
  readonly clock: Clock
  readonly sessionCodec: Pick<HandleCodec, 'read'>
  readonly refreshCodec: Pick<HandleCodec, 'read'>
}

/**
 * A login replaces all earlier cookies of the browser, so that a planted or copied cookie is useless and no page keeps showing another
 * user. One pair may coexist: tokens for a page beside a session cookie, if both belong to the same user. The session cookie must come
 * second, because a login for tokens ends it.
 */
const isReplaced = (old: LoggedIn, next: LoggedIn): boolean =>
  old.kind !== 'token' || next.kind !== 'cookie' || old.accountId !== next.accountId

/**
 * Ends the sessions of the cookies that came with a login, inside its transaction, so both happen or neither. A handle of any generation
 * ends its session, as at logout. A forged one, or one whose session is over, ends nothing and is no error.
 */
export const endReplacedSessions = ({ clock, sessionCodec, refreshCodec }: EndReplacedDeps) => {
  const find = async (
    { sessions }: SessionStores,
    codec: Pick<HandleCodec, 'read'>,
    presented: string | undefined,
  ): Promise<SessionState | undefined> => {
    const handle = presented === undefined ? undefined : codec.read(presented)
    if (!handle) return undefined
    const state = await sessions.find(handle.sessionId, secretDigest(handle.secret))
    // A handle delivered in a body is not valid in a cookie, not even to end its session.
    return state?.delivery === 'cookie' ? state : undefined
  }

  return async function endReplacedSessions(
    stores: SessionStores,
    presented: PresentedCookies,
    next: LoggedIn,
    client: RequestFacts,
  ): Promise<ReplacedCookies> {
    const bySession = await find(stores, sessionCodec, presented.session)
    const byRefresh = await find(stores, refreshCodec, presented.refresh)
    const old = [bySession, byRefresh].filter((state) => state !== undefined)
    const nowMs = clock.nowMs()
    const actor = { kind: 'account', accountId: next.accountId } as const
    for (const state of old.filter((one) => isReplaced(one, next))) {
      // A session that is over keeps its reason.
      if (whyDead(state, nowMs) !== undefined) continue
      const { sessionId } = state
      await endSession(stores, { sessionId, reason: 'replaced', nowMs, actor, client })
    }
    return {
      // Any earlier session cookie is invalid from now on.
      session: presented.session !== undefined,
      refresh: byRefresh !== undefined && isReplaced(byRefresh, next),
    }
  }
}

export type EndReplacedSessions = ReturnType<typeof endReplacedSessions>
