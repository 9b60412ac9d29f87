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

/**
 * Ends the service clients of an account and revokes the tokens they have out, and records it: in the transaction that ends the
 * account's sessions.
 */
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
 * Raises the epoch of an account whose sessions its caller has ended: every token issued to it dies, also what a refresh is minting at
 * this moment.
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
  /** Another address to log in with, as it was typed. */
  readonly email?: string | undefined
  readonly actor: Actor
  readonly client?: RequestFacts
}

const sameRoles = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((role) => other.includes(role))

/** Everything issued to the account dies with the change, also what a refresh is minting at this moment. */
const revokeEverything = async (
  stores: AccountStores,
  { accountId, actor, client }: ChangeAccountInput,
  before: LoginAccount,
  nowMs: number,
): Promise<void> => {
  const reason = 'account_disabled'
  // Whatever may have to wait comes before entries, whose ends are reckoned when they are made.
  const ended = await stores.sessions.endAllOfAccount(accountId, reason, nowMs)
  await endOwnedClients(stores, { accountId, actor, reason, nowMs, client })
  // Somebody may have disabled it in the database, where that ended nothing: then there is still something to end.
  if (before.status === 'disabled' && ended.length === 0) return
  await revokeAccountTokens(stores, { accountId, actor, reason, nowMs })
}

/** What is to be written, and why tokens and cached sessions must not go on saying what they say; nothing when they may. */
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
 * The sessions go on; tokens with the old roles are refused, and the next refresh reads the new ones. No token holds an address, but cached
 * cookie sessions do, and they are read anew as well.
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

/** Of the new address the trail holds what it holds of addresses that are typed at a login: a keyed hash. */
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
 * Sets status, roles and address, whichever is given. Disabling ends every session and service client of the account; setting it active also
 * lets a password be tried again that too many failures had locked. With another address the sessions go on: the operator vouches for it, and
 * it is the same person. Whoever does not want that revokes the account as well.
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
      // First: it may have to wait for somebody else who takes the address, and entries are reckoned from when they are made.
      const account = await stores.accounts.change({ ...change, nowMs })
      if (!account) throw accountErrors.error('account_exists')
      if (input.status === 'disabled') await revokeEverything(stores, input, before, nowMs)
      if (staleFacts) await revokeOldClaims(stores, input, before, staleFacts)
      await recordChange(stores, input, account, change.email)
      return account
    })
  }

export type ChangeAccount = ReturnType<typeof changeAccount>
