import { type Actor, actorText, type RequestFacts } from '../audit/index.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import type { Clock } from '../lib/machine.ts'
import type { SessionStores } from '../sessions/index.ts'
import { type Account, type AccountStatus, accountErrors, type LoginAccount } from './account.ts'
import type { AccountStores, OwnedClients } from './account-store.ts'
import { type EmailAddress, parseEmail } from './email-address.ts'

export type OwnerEnd = {
  readonly accountId: string
  readonly actor: Actor
  readonly reason: string
  readonly nowMs: number
  readonly client?: RequestFacts | undefined
}

/** Disables the service clients of an account, revokes their tokens and records it, in the transaction that ends the account's sessions. */
export const endOwnedClients = async (
  {
    clients,
    revocations,
    audit,
  }: Pick<SessionStores, 'revocations' | 'audit'> & { readonly clients: OwnedClients },
  { accountId, actor, reason, nowMs, client }: OwnerEnd,
): Promise<void> => {
  for (const { clientId, name, minEpoch } of await clients.disableOwned(accountId, nowMs)) {
    await revocations.append({
      target: { kind: 'sub', key: clientId, minEpoch },
      actor: actorText(actor),
      reason,
    })
    await audit.record({
      event: 'service_client_disabled',
      outcome: 'success',
      reason,
      actor,
      accountId,
      details: { clientId, name },
      ...(client && { client }),
    })
  }
}

export type AccountRevocation = {
  readonly accountId: string
  readonly actor: Actor
  readonly reason: string
  readonly nowMs: number
}

/**
 * Raises the epoch of an account whose sessions the caller has ended. This revokes every token issued to it, even one that a refresh is
 * issuing now.
 */
export const revokeAccountTokens = async (
  { accounts, revocations }: Pick<AccountStores, 'accounts' | 'revocations'>,
  { accountId, actor, reason, nowMs }: AccountRevocation,
): Promise<void> => {
  const minEpoch = await accounts.raiseEpoch(accountId, nowMs)
  await revocations.append({
    target: { kind: 'sub', key: accountId, minEpoch },
    actor: actorText(actor),
    reason,
  })
}

export type ChangeAccountDeps = {
  readonly clock: Clock
  readonly inTransaction: InTransaction<AccountStores>
}

export type ChangeAccountInput = {
  readonly accountId: string
  readonly status?: AccountStatus | undefined
  readonly roles?: readonly string[] | undefined
  /** The new login address, as entered. */
  readonly email?: string | undefined
  readonly actor: Actor
  readonly client?: RequestFacts
}

const sameRoles = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((role) => other.includes(role))

/** Revokes everything issued to the account, even what a refresh is issuing now. */
const revokeEverything = async (
  stores: AccountStores,
  { accountId, actor, client }: ChangeAccountInput,
  before: LoginAccount,
  nowMs: number,
): Promise<void> => {
  const reason = 'account_disabled'
  // Statements that may have to wait come before the entries, because their ends are computed when they are made.
  const ended = await stores.sessions.endAllOfAccount(accountId, reason, nowMs)
  await endOwnedClients(stores, { accountId, actor, reason, nowMs, client })
  // The account may have been disabled directly in the database, which ends nothing. Then there is still something to end.
  if (before.status === 'disabled' && ended.length === 0) return
  await revokeAccountTokens(stores, { accountId, actor, reason, nowMs })
}

/** What to write, and the reason why tokens and cached sessions with the old facts must be revoked. Nothing when they may stay. */
const changeOf = (
  input: ChangeAccountInput,
  before: LoginAccount,
  wanted: EmailAddress | undefined,
) => {
  const { accountId, status = before.status, roles = before.roles } = input
  const email = wanted?.address === before.email ? undefined : wanted
  const rolesChange = sameRoles(before.roles, roles) ? undefined : 'roles_changed'
  const staleFacts = rolesChange ?? (email && 'email_changed')
  const change = {
    accountId,
    status,
    roles,
    email,
    raisesClaimsEpoch: staleFacts !== undefined,
    clearsFailedLogins: input.status === 'active',
  }
  return { change, staleFacts } as const
}

/**
 * Sessions continue. Tokens with the old roles are refused, and the next refresh reads the new ones. Tokens contain no address, but cached
 * cookie sessions do, so they are read again.
 */
const revokeOldClaims = async (
  { revocations }: AccountStores,
  { accountId, actor }: ChangeAccountInput,
  before: LoginAccount,
  reason: 'roles_changed' | 'email_changed',
): Promise<void> => {
  const minEpoch = before.claimsEpoch + 1
  await revocations.append({
    target: { kind: 'claims', key: accountId, minEpoch },
    actor: actorText(actor),
    reason,
  })
}

/** The trail stores the new address like one entered at a login: as a keyed hash. */
const recordChange = async (
  { audit }: AccountStores,
  input: ChangeAccountInput,
  account: Account,
  email: EmailAddress | undefined,
): Promise<void> => {
  const { accountId, actor, client } = input
  const common = { outcome: 'success', actor, accountId, ...(client && { client }) } as const
  if (input.status !== undefined || input.roles !== undefined) {
    const { status, roles } = account
    await audit.record({ ...common, event: 'account_changed', details: { status, roles } })
  }
  if (email) {
    await audit.record({ ...common, event: 'email_changed', identifier: email.canonical })
  }
}

/**
 * Sets the given ones of status, roles and address. Disabling ends every session and service client of the account. Setting it active also
 * unlocks a password that was locked by failures. With a new address the sessions continue, because the operator confirms that it is the
 * same person. To end them, revoke the account as well.
 * @throws account_not_found, account_exists, invalid_email, store_unavailable
 */
export const changeAccount =
  ({ clock, inTransaction }: ChangeAccountDeps) =>
  async (input: ChangeAccountInput): Promise<Account> => {
    const wanted = input.email === undefined ? undefined : parseEmail(input.email)
    return inTransaction(async (stores) => {
      const before = await stores.accounts.lock(input.accountId)
      if (!before) throw accountErrors.error('account_not_found')
      const nowMs = clock.nowMs()
      const { change, staleFacts } = changeOf(input, before, wanted)
      // First, because it may wait for another transaction that takes the address, and the ends of entries are computed when they are made.
      const account = await stores.accounts.change({ ...change, nowMs })
      if (!account) throw accountErrors.error('account_exists')
      if (input.status === 'disabled') await revokeEverything(stores, input, before, nowMs)
      if (staleFacts) await revokeOldClaims(stores, input, before, staleFacts)
      await recordChange(stores, input, account, change.email)
      return account
    })
  }

export type ChangeAccount = ReturnType<typeof changeAccount>
