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
  /** Only a session of this account is ended, if one is named. */
  readonly accountId?: string
}

/** Condemns the access tokens that an ended session has out, and records its end: in the transaction that ended it, for every session. */
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
 * Ends one session and revokes the access tokens it has out, and records it, inside a transaction of the caller's.
 * @returns false when there is no such session, or somebody else has ended it: then nothing is written
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

/** The signed-in person, by a verified access token. */
export type Owner = {
  readonly accountId: string
  readonly sessionId: string
  readonly client: RequestFacts
}

/** Ends the session that asks. Asking twice changes nothing more. */
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
 * Ends one of the owner's sessions, from whichever of them they ask.
 * @throws session_not_found when it is not theirs, or has ended
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

/** Ends all the owner's sessions, or all but the one that asks. Returns how many ended. */
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
 * Logs out by session cookie: the session of any handle we made ends, of whatever generation. One from before a step-up opens nothing any
 * more, but whoever holds it was told that they are logged out, and must not be wrong. A handle that is made up changes nothing and is no
 * error.
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
 * Logs out by refresh token: the session of any handle we made ends, of whatever generation. A handle that is made up, or whose
 * session is gone, changes nothing and is no error: the caller wanted to be logged out, and is.
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

/** The handles in the cookies that a browser sends along with a login, as they came. */
export type PresentedCookies = {
  readonly session: string | undefined
  readonly refresh: string | undefined
}

/** Of a login whose answer sets no cookie: the browser it may come from keeps what it has. */
export const noCookies: PresentedCookies = { session: undefined, refresh: undefined }

/** Which of the presented cookies have no place beside the new session. */
export type ReplacedCookies = { readonly session: boolean; readonly refresh: boolean }

type LoggedIn = Pick<SessionFacts, 'accountId' | 'kind'>

export type EndReplacedDeps = {
  readonly clock: Clock
  readonly sessionCodec: Pick<HandleCodec, 'read'>
  readonly refreshCodec: Pick<HandleCodec, 'read'>
}

/**
 * A browser that somebody logs in with keeps nothing of before: whoever planted or copied a cookie holds nothing, and no page goes on
 * showing another person. One pair may stay together, a page with tokens beside pages behind a session cookie, when both are of the
 * same person; the session cookie comes second, because a login for tokens ends it.
 */
const isReplaced = (old: LoggedIn, next: LoggedIn): boolean =>
  old.kind !== 'token' || next.kind !== 'cookie' || old.accountId !== next.accountId

/**
 * Ends the sessions of the cookies that came along with a login, inside its transaction: either both happen, or neither. A handle of
 * any generation counts, as at logout. One that is made up, or whose session is over, ends nothing and is no error.
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
    // What was delivered in a body is of no use in a cookie, not even to end it.
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
      // One that is over keeps the reason it has.
      if (whyDead(state, nowMs) !== undefined) continue
      const { sessionId } = state
      await endSession(stores, { sessionId, reason: 'replaced', nowMs, actor, client })
    }
    return {
      // A session cookie opens nothing from now on, whatever it was.
      session: presented.session !== undefined,
      refresh: byRefresh !== undefined && isReplaced(byRefresh, next),
    }
  }
}

export type EndReplacedSessions = ReturnType<typeof endReplacedSessions>
