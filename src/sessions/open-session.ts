import type { Actor, RequestFacts } from '../audit/index.ts'
import { newId } from '../lib/id.ts'
import type { Random } from '../lib/random.ts'
import { recordEnd } from './end-session.ts'
import { secretBytes, secretDigest } from './handle.ts'
import type { Delivery, SessionFacts, SessionKind } from './session.ts'
import type { SessionStores } from './session-work.ts'

export type SessionLimits = {
  readonly idleSeconds: number
  readonly absoluteSeconds: number
  /** Live sessions of one account; the least recently used beyond it end. */
  readonly perAccount: number
}

export type SignIn = {
  readonly accountId: string
  readonly kind: SessionKind
  readonly delivery: Delivery
  readonly clientId: string
  readonly audience: string
  readonly scope: string
  /** How the person proved who they are (RFC 8176). */
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
  { accountId, client, nowMs }: SignIn,
  { most, openedId }: { most: number; openedId: string },
): Promise<void> => {
  const actor: Actor = { kind: 'system' }
  for (const sessionId of await stores.sessions.evictBeyond(accountId, most - 1, nowMs, openedId)) {
    await recordEnd(stores, { sessionId, accountId, reason: 'evicted', actor, client })
  }
}

/**
 * Adds a session and ends what the account then has too many of, inside a transaction that holds the account's lock: two
 * sign-ins at once would otherwise both find room.
 * @returns nothing when the account is not active (any more)
 */
export const openSession =
  (random: Random, limits: SessionLimits) =>
  async (stores: SessionStores, signIn: SignIn): Promise<OpenedSession | undefined> => {
    const { nowMs, client, ...rest } = signIn
    const secret = random(secretBytes)
    const absoluteExpiresAtMs = nowMs + limits.absoluteSeconds * 1000
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
    if (others >= most) await evict(stores, signIn, { most, openedId: facts.sessionId })
    return { facts, secret, absoluteExpiresAtMs }
  }
