import type {
  AccountStore,
  LoginAccount,
  PasswordHasher,
  StoredPassword,
} from '../accounts/index.ts'
import type { Attempt, Refusal } from './attempt.ts'

export type JudgeDeps = {
  readonly hasher: PasswordHasher
  readonly accounts: Pick<AccountStore, 'findByEmail'>
}

export type RightPassword = {
  readonly account: LoginAccount
  /** A hash under the present policy, when the stored one is older. */
  readonly rehashed: StoredPassword | undefined
}

export type Verdict = { readonly refusal: Refusal } | RightPassword

/**
 * Whether this password opens this account. One hash is paid whatever the account is like, and before anything is decided, so that the
 * time taken tells nothing of it.
 * @throws invalid_password, server_busy, store_unavailable
 */
export const judgePassword =
  ({ hasher, accounts }: JudgeDeps) =>
  async ({ identity, password, failureLimit }: Attempt): Promise<Verdict> => {
    const account = await accounts.findByEmail(identity.canonical)
    const { matches, needsRehash } = await hasher.verify(password, account?.password)
    if (!account) return { refusal: 'unknown_account' }
    if (account.failedLogins >= failureLimit) return { refusal: 'password_locked' }
    if (!matches) return { refusal: 'wrong_password' }
    if (account.status !== 'active') return { refusal: 'account_disabled' }
    // A new hash can wait for the next log-in: when the queue is full, it must not turn a right password away.
    const rehashed = needsRehash ? await hasher.hash(password).catch(() => undefined) : undefined
    return { account, rehashed }
  }
