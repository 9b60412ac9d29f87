import { type Actor, actorText, type RequestFacts } from '../audit/index.ts'
import type { Clock } from '../lib/clock.ts'
import type { InTransaction } from '../sessions/index.ts'
import type { Account, AccountStatus, LoginAccount } from './account.ts'
import type { AccountStores } from './account-store.ts'
import { condemnTokens } from './condemn-tokens.ts'
import { accountErrors } from './errors.ts'
import { endOwnedClients } from './owned-clients.ts'

export type ChangeAccountDeps = {
  readonly clock: Clock
  readonly inTransaction: InTransaction<AccountStores>
}

export type ChangeAccountInput = {
  readonly accountId: string
  readonly status?: AccountStatus | undefined
  readonly roles?: readonly string[] | undefined
  readonly actor: Actor
  readonly client?: RequestFacts
}

const sameRoles = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((role) => other.includes(role))

/** Everything issued to the account dies with the change, also what a refresh is minting at this moment. */
const condemn = async (
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
  await condemnTokens(stores, { accountId, actor, reason, nowMs })
}

/** The sessions go on; tokens with the old roles are refused, and the next refresh reads the new ones. */
const condemnOldRoles = async (
  { revocations }: AccountStores,
  { accountId, actor }: ChangeAccountInput,
  before: LoginAccount,
): Promise<void> => {
  const minEpoch = before.claimsEpoch + 1
  await revocations.append({
    target: { kind: 'claims', key: accountId, minEpoch },
    actor: actorText(actor),
    reason: 'roles_changed',
  })
}

/**
 * Sets status and roles, whichever is given. Disabling ends every session and service client of the account; setting it active also lets
 * a password be tried again that too many failures had locked.
 * @throws account_not_found, store_unavailable
 */
export const changeAccount =
  ({ clock, inTransaction }: ChangeAccountDeps) =>
  (input: ChangeAccountInput): Promise<Account> =>
    inTransaction(async (stores) => {
      const { accountId, actor, client } = input
      const before = await stores.accounts.lock(accountId)
      if (!before) throw accountErrors.error('account_not_found')
      const nowMs = clock.nowMs()
      const status = input.status ?? before.status
      const roles = input.roles ?? before.roles
      const changesRoles = !sameRoles(before.roles, roles)
      if (input.status === 'disabled') await condemn(stores, input, before, nowMs)
      if (changesRoles) await condemnOldRoles(stores, input, before)
      const account = await stores.accounts.change({
        accountId,
        status,
        roles,
        raisesClaimsEpoch: changesRoles,
        clearsFailedLogins: input.status === 'active',
        nowMs,
      })
      await stores.audit.record({
        event: 'account_changed',
        outcome: 'success',
        actor,
        accountId,
        details: { status, roles },
        ...(client && { client }),
      })
      return account
    })
