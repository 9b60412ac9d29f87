import type { RequestFacts } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import { endSession } from './end-session.ts'
import { type HandleCodec, secretDigest } from './handle.ts'
import { type SessionFacts, type SessionState, whyDead } from './session.ts'
import type { SessionStores } from './session-work.ts'

/** The handles in the cookies that a browser sends along with a sign-in, as they came. */
export type PresentedCookies = {
  readonly session: string | undefined
  readonly refresh: string | undefined
}

/** Of a sign-in whose answer sets no cookie: the browser it may come from keeps what it has. */
export const noCookies: PresentedCookies = { session: undefined, refresh: undefined }

/** Which of the presented cookies have no place beside the new session. */
export type Superseded = { readonly session: boolean; readonly refresh: boolean }

type SignedIn = Pick<SessionFacts, 'accountId' | 'kind'>

export type SupersedeDeps = {
  readonly clock: Clock
  readonly sessionCodec: Pick<HandleCodec, 'read'>
  readonly refreshCodec: Pick<HandleCodec, 'read'>
}

/**
 * A browser that somebody signs in with keeps nothing of before: whoever planted or copied a cookie holds nothing, and no page goes on
 * showing another person. One pair may stay together, a page with tokens beside pages behind a session cookie, when both are of the
 * same person; the session cookie comes second, because a sign-in for tokens ends it.
 */
const isSuperseded = (old: SignedIn, next: SignedIn): boolean =>
  old.kind !== 'token' || next.kind !== 'cookie' || old.accountId !== next.accountId

/**
 * Ends the sessions of the cookies that came along with a sign-in, inside its transaction: either both happen, or neither. A handle of
 * any generation counts, as at logout. One that is made up, or whose session is over, ends nothing and is no error.
 */
export const supersedeSessions = ({ clock, sessionCodec, refreshCodec }: SupersedeDeps) => {
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

  return async (
    stores: SessionStores,
    presented: PresentedCookies,
    next: SignedIn,
    client: RequestFacts,
  ): Promise<Superseded> => {
    const bySession = await find(stores, sessionCodec, presented.session)
    const byRefresh = await find(stores, refreshCodec, presented.refresh)
    const old = [bySession, byRefresh].filter((state) => state !== undefined)
    const nowMs = clock.nowMs()
    const actor = { kind: 'account', accountId: next.accountId } as const
    for (const state of old.filter((one) => isSuperseded(one, next))) {
      // One that is over keeps the reason it has.
      if (whyDead(state, nowMs) !== undefined) continue
      const { sessionId } = state
      await endSession(stores, { sessionId, reason: 'replaced', nowMs, actor, client })
    }
    return {
      // A session cookie opens nothing from now on, whatever it was.
      session: presented.session !== undefined,
      refresh: byRefresh !== undefined && isSuperseded(byRefresh, next),
    }
  }
}
