import type { Actor, RequestFacts } from '../audit/index.ts'
import { newId, type Random } from '../lib/machine.ts'
import {
  fitsSealed,
  type Issued,
  secretBytes,
  secretDigest,
  tooLargeToSeal,
} from './credentials.ts'
import { recordEnd } from './end-session.ts'
import type { Delivery, SessionFacts, SessionKind } from './session.ts'
import type { SessionStores } from './session-store.ts'

export type SessionLimits = {
  readonly idleSeconds: number
  readonly absoluteSeconds: number
  /**
   * The same for a session that ends with the browser. The limit is needed because a browser that restores its tabs also restores such
   * cookies.
   */
  readonly browserSeconds: number
  /** The maximum number of live sessions of one account. Beyond it the least recently used ones end. */
  readonly perAccount: number
}

export type SessionOpening = {
  readonly accountId: string
  readonly kind: SessionKind
  readonly delivery: Delivery
  readonly clientId: string
  readonly audience: string
  /** With `audience` first. Empty when the login named none. */
  readonly namedAudiences: readonly string[]
  readonly scope: string
  readonly persists: boolean
  /** How the user authenticated (RFC 8176). */
  readonly amr: readonly string[]
  readonly acr: string
  readonly client: RequestFacts
  readonly nowMs: number
}

export type OpenedSession = {
  readonly facts: SessionFacts
  readonly secret: Buffer
  readonly absoluteExpiresAtMs: number
}

const evict = async (
  stores: SessionStores,
  { accountId, client, nowMs }: SessionOpening,
  { most, openedId }: { most: number; openedId: string },
): Promise<void> => {
  const actor: Actor = { kind: 'system' }
  for (const sessionId of await stores.sessions.evictBeyond(accountId, most - 1, nowMs, openedId)) {
    await recordEnd(stores, { sessionId, accountId, reason: 'evicted', actor, client })
  }
}

/**
 * Adds a session, and ends the oldest ones beyond the limit of the account. It runs in a transaction that holds the account's lock, because
 * two logins at once would otherwise both find room.
 * @returns nothing when the account is not active
 */
export const openSession = (random: Random, limits: SessionLimits) =>
  async function openSession(
    stores: SessionStores,
    logIn: SessionOpening,
  ): Promise<OpenedSession | undefined> {
    const { nowMs, client, ...rest } = logIn
    const secret = random(secretBytes)
    const maxSeconds = logIn.persists ? limits.absoluteSeconds : limits.browserSeconds
    const absoluteExpiresAtMs = nowMs + maxSeconds * 1000
    const added = await stores.sessions.add({
      ...rest,
      sessionId: newId(random),
      secretDigest: secretDigest(secret),
      userAgent: client.userAgent ?? '',
      address: client.address,
      authenticatedAtMs: nowMs,
      idleExpiresAtMs: Math.min(nowMs + limits.idleSeconds * 1000, absoluteExpiresAtMs),
      absoluteExpiresAtMs,
    })
    if (!added) return undefined
    const { facts, others } = added
    const most = limits.perAccount
    if (others >= most) await evict(stores, logIn, { most, openedId: facts.sessionId })
    return { facts, secret, absoluteExpiresAtMs }
  }

export type OpenSession = ReturnType<typeof openSession>

/**
 * Opens sessions like `open`, but refuses a `sealed` session whose token would not fit. It throws inside the transaction, so that a login
 * without a response leaves no session.
 *
 * @param issue makes the login's credentials; it has no side effects and is called once more for the response
 * @throws sealed_session_too_large
 */
export const openOnlySealable = (
  open: OpenSession,
  issue: (opened: OpenedSession) => Issued,
): OpenSession =>
  async function openOnlySealable(stores, logIn) {
    const opened = await open(stores, logIn)
    if (opened?.facts.kind === 'sealed' && !fitsSealed(issue(opened))) throw tooLargeToSeal()
    return opened
  }
