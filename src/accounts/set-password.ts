import type { Actor } from '../audit/index.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import type { Clock } from '../lib/machine.ts'
import { type Account, accountErrors } from './account.ts'
import type { AccountStore, AccountStores } from './account-store.ts'
import type { PasswordHasher } from './argon2-password-hasher.ts'
import { revokeAccountTokens } from './change-account.ts'
import { parseEmail } from './email-address.ts'
import { checkNewPassword, passwordContext } from './password-policy.ts'

export type SetPasswordDeps = {
  readonly clock: Clock
  readonly hasher: PasswordHasher
  /** In code points. */
  readonly passwordMinLength: number
  readonly accounts: Pick<AccountStore, 'find'>
  readonly inTransaction: InTransaction<AccountStores>
}

export type SetPasswordInput = {
  readonly accountId: string
  readonly password: string
  readonly actor: Actor
}

/**
 * Sets a new password, for an operator who need not know the old one. A person who knew the old one may be logged in with it, so every
 * session ends and every token is revoked. The count of failures is reset, because it belonged to the old password. The status stays the
 * same.
 * @throws account_not_found, invalid_password, password_rejected, server_busy, store_unavailable
 */
export const setPassword =
  ({ clock, hasher, passwordMinLength: minLength, accounts, inTransaction }: SetPasswordDeps) =>
  async ({ accountId, password, actor }: SetPasswordInput): Promise<Account> => {
    const found = await accounts.find(accountId)
    if (!found) throw accountErrors.error('account_not_found')
    const context = passwordContext(parseEmail(found.email))
    await checkNewPassword(password, { minLength, context })
    // Hashing takes many milliseconds. Inside a transaction it would hold a connection for that time.
    const hashed = await hasher.hash(password)
    return inTransaction(async (stores) => {
      if (!(await stores.accounts.lock(accountId))) throw accountErrors.error('account_not_found')
      const reason = 'password_changed'
      const nowMs = clock.nowMs()
      const account = await stores.accounts.setPassword(accountId, hashed, nowMs)
      await stores.sessions.endAllOfAccount(accountId, reason, nowMs)
      await revokeAccountTokens(stores, { accountId, actor, reason, nowMs })
      await stores.audit.record({
        event: 'password_changed',
        outcome: 'success',
        actor,
        accountId,
      })
      return account
    })
  }

export type SetPassword = ReturnType<typeof setPassword>
