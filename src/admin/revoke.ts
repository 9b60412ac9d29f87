import {
  type AccountStores,
  accountErrors,
  endOwnedClients,
  parseEmail,
} from '../accounts/index.ts'
import { type Actor, type AuditEvent, actorText, type RequestFacts } from '../audit/index.ts'
import type { SigningKeyTransaction, Withdrawal } from '../keys/index.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import type { Clock } from '../lib/machine.ts'
import type { ServiceClientStore } from '../oauth/index.ts'
import { boundSeconds, type RevocationTarget } from '../revocation/index.ts'
import { sessionErrors } from '../sessions/index.ts'

type PlainTarget =
  /** Also a service client: any `sub` of tokens. */
  | { readonly kind: 'account'; readonly accountId: string }
  | { readonly kind: 'email'; readonly email: string }
  | { readonly kind: 'session'; readonly sessionId: string }
  | { readonly kind: 'token'; readonly tokenId: string }
  | { readonly kind: 'everyone' }

export type RevokeTarget = PlainTarget | { readonly kind: 'key'; readonly kid: string }

/** The stores that a revocation uses in one transaction. */
export type RevocationStores = AccountStores & {
  readonly signingKeys: SigningKeyTransaction
  readonly clients: Pick<ServiceClientStore, 'lock' | 'raiseEpoch'>
}

export type RevokeDeps = {
  readonly clock: Clock
  readonly inTransaction: InTransaction<RevocationStores>
  /** Prepares the withdrawal of a signing key. */
  readonly withdrawKey: (kid: string) => Promise<Withdrawal>
  /** Called after the commit; never rejects. */
  readonly onKeyRevoked: () => Promise<void>
}

export type RevokeInput = {
  readonly target: RevokeTarget
  /** Free text of an operator, for the audit trail. */
  readonly note: string | undefined
  readonly actor: Actor
  readonly client?: RequestFacts
}

export type Revoked = {
  /** The position in the revocation log. */
  readonly seq: number
  readonly committedAtMs: number
  /** After this time no verifier that reports itself fresh accepts anything that was revoked. */
  readonly effectiveByMs: number
  /** Whether the target is known to exist. Access tokens are not stored, so the id of one is recorded unchecked. */
  readonly isChecked: boolean
}

const reason = 'revoked'

/** The operation, in the terms of the revocation log and the audit trail. */
type Act = {
  readonly target: RevocationTarget
  readonly event: AuditEvent['event']
  readonly accountId?: string
  readonly sessionId?: string
  readonly details?: Readonly<Record<string, string>>
}

type Turn = Pick<RevokeInput, 'actor' | 'client'> & { readonly nowMs: number }

type DoAct = (stores: RevocationStores, turn: Turn) => Promise<Act>

const revokeAccount = async (
  stores: RevocationStores,
  accountId: string,
  turn: Turn,
): Promise<Act | undefined> => {
  const { accounts, sessions } = stores
  const { nowMs } = turn
  if (!(await accounts.lock(accountId))) return undefined
  const minEpoch = await accounts.raiseEpoch(accountId, nowMs)
  await sessions.endAllOfAccount(accountId, reason, nowMs)
  await endOwnedClients(stores, { ...turn, accountId, reason })
  return {
    target: { kind: 'sub', key: accountId, minEpoch },
    event: 'account_revoked',
    accountId,
  }
}

/**
 * Also recorded when the session has already ended, because its tokens may still be valid.
 * @throws session_not_found for an id without a row. A service client has no sessions: the `sid` of its token is the `jti`.
 */
const revokeSession = async (
  { sessions }: RevocationStores,
  sessionId: string,
  nowMs: number,
): Promise<Act> => {
  const ended = await sessions.end(sessionId, reason, nowMs)
  if (!ended && !(await sessions.exists(sessionId))) {
    throw sessionErrors.error('session_not_found', {
      detail: 'No session has this id. The token of a service client is revoked by its jti.',
    })
  }
  return { target: { kind: 'sid', key: sessionId }, event: 'session_ended', sessionId, ...ended }
}

/** Revokes the tokens of a service client. It can still request new ones; `disable` prevents that. */
const revokeClient = async (
  { clients }: RevocationStores,
  clientId: string,
): Promise<Act | undefined> => {
  const locked = await clients.lock(clientId)
  if (!locked) return undefined
  const minEpoch = await clients.raiseEpoch(clientId)
  return {
    target: { kind: 'sub', key: clientId, minEpoch },
    event: 'service_client_revoked',
    ...(locked.ownerId && { accountId: locked.ownerId }),
    details: { clientId },
  }
}

/** The account or service client in the `sub` of tokens. Ids are random, so it is never both. */
const revokeSubject = async (stores: RevocationStores, sub: string, turn: Turn): Promise<Act> => {
  const done = (await revokeAccount(stores, sub, turn)) ?? (await revokeClient(stores, sub))
  if (!done) throw accountErrors.error('account_not_found')
  return done
}

const revokeKey =
  (kid: string, withdraw: Withdrawal): DoAct =>
  async ({ signingKeys }) => {
    const { was, active } = await withdraw(signingKeys)
    return {
      target: { kind: 'kid', key: kid },
      event: 'signing_key_revoked',
      details: { kid, was, ...(active && { active }) },
    }
  }

const act = async (stores: RevocationStores, target: PlainTarget, turn: Turn): Promise<Act> => {
  const { nowMs } = turn
  switch (target.kind) {
    case 'account':
      return revokeSubject(stores, target.accountId, turn)
    case 'email': {
      const account = await stores.accounts.findByEmail(parseEmail(target.email).canonical)
      if (!account) throw accountErrors.error('account_not_found')
      return revokeSubject(stores, account.accountId, turn)
    }
    case 'session':
      return revokeSession(stores, target.sessionId, nowMs)
    case 'token':
      return { target: { kind: 'jti', key: target.tokenId }, event: 'token_revoked' }
    case 'everyone': {
      const minEpoch = await stores.accounts.raiseGlobalEpoch(nowMs)
      return { target: { kind: 'everyone', key: '', minEpoch }, event: 'everyone_revoked' }
    }
  }
}

/** Work before the transaction, which must be short: making a key takes up to some seconds. */
const prepare = async ({ withdrawKey }: RevokeDeps, target: RevokeTarget): Promise<DoAct> => {
  if (target.kind === 'key') return revokeKey(target.kid, await withdrawKey(target.kid))
  return function revokeTarget(stores, turn) {
    return act(stores, target, turn)
  }
}

/**
 * Revokes a token, a session, everything of an account or of a service client, a signing key, or everything. The service clients of an
 * account end with it. It may be repeated, and then ends what is valid by then.
 * @returns after the commit, whether or not a cache is reachable
 * @throws account_not_found, invalid_email, session_not_found, signing_key_not_found, store_unavailable
 */
export const revoke = (deps: RevokeDeps) =>
  async function revoke({ target, note, actor, client }: RevokeInput): Promise<Revoked> {
    const { clock, inTransaction } = deps
    const doAct = await prepare(deps, target)
    const seq = await inTransaction(async (stores) => {
      const done = await doAct(stores, { nowMs: clock.nowMs(), actor, ...(client && { client }) })
      const { event, accountId, sessionId, details } = done
      await stores.audit.record({
        event,
        outcome: 'success',
        reason,
        actor,
        ...(accountId && { accountId }),
        ...(sessionId && { sessionId }),
        ...(client && { client }),
        details: { ...details, ...(note && { note }) },
      })
      return stores.revocations.append({ target: done.target, actor: actorText(actor), reason })
    })
    const committedAtMs = clock.nowMs()
    if (target.kind === 'key') await deps.onKeyRevoked()
    const effectiveByMs = committedAtMs + boundSeconds * 1000
    return { seq, committedAtMs, effectiveByMs, isChecked: target.kind !== 'token' }
  }

export type Revoke = ReturnType<typeof revoke>
