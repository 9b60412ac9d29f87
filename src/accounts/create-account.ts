import type { Actor, AuditTrail, RequestFacts } from '../audit/index.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import { type Clock, newId, type Random } from '../lib/machine.ts'
import { type Account, accountErrors } from './account.ts'
import type { AccountStore } from './account-store.ts'
import type { PasswordHasher } from './argon2-password-hasher.ts'
import { parseEmail } from './email-address.ts'
import { checkNewPassword, passwordContext } from './password-policy.ts'

export type CreateAccountDeps = {
  readonly clock: Clock
  readonly random: Random
  readonly hasher: PasswordHasher
  /** In code points. */
  readonly passwordMinLength: number
  readonly inTransaction: InTransaction<{
    readonly accounts: Pick<AccountStore, 'add'>
    readonly audit: AuditTrail
  }>
}

export type NewAccountInput = {
  readonly email: string
  readonly password: string
  readonly roles: readonly string[]
  readonly actor: Actor
  readonly client?: RequestFacts
}

/**
 * Adds an active account.
 * @throws invalid_email, invalid_password, password_rejected, account_exists, server_busy, store_unavailable
 */
export const createAccount =
  (deps: CreateAccountDeps) =>
  async ({ email, password, roles, actor, client }: NewAccountInput): Promise<Account> => {
    const parsed = parseEmail(email)
    const minLength = deps.passwordMinLength
    await checkNewPassword(password, { minLength, context: passwordContext(parsed) })
    // Hashing takes many milliseconds. Inside a transaction it would hold a connection for that time.
    const hashed = await deps.hasher.hash(password)
    const nowMs = deps.clock.nowMs()
    const accountId = newId(deps.random)
    await deps.inTransaction(async ({ accounts, audit }) => {
      const added = await accounts.add({
        accountId,
        email: parsed.address,
        canonicalEmail: parsed.canonical,
        roles,
        password: hashed,
        nowMs,
      })
      if (!added) throw accountErrors.error('account_exists')
      await audit.record({
        event: 'account_created',
        outcome: 'success',
        actor,
        accountId,
        details: { roles },
        ...(client && { client }),
      })
    })
    return {
      accountId,
      email: parsed.address,
      status: 'active',
      roles,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    }
  }

export type CreateAccount = ReturnType<typeof createAccount>
