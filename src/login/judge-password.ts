import type {
  AccountStore,
  BoundedPasswordHasher,
  LoginAccount,
  StoredPassword,
} from '../accounts/index.ts'
import type { BoundedQueue } from '../lib/bounded-queue.ts'
import type { Attempt, Refusal } from './attempt.ts'

export type JudgeDeps = {
  readonly hasher: BoundedPasswordHasher
  readonly accounts: Pick<AccountStore, 'findByEmail'>
  /** Anybody can cause a look-up: all together get no more than this of the pool. */
  readonly lookUps: Pick<BoundedQueue, 'run'>
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
 * @throws invalid_password, server_busy, store_unavailable, caller_gone
 */
export const judgePassword =
  ({ hasher, accounts, lookUps }: JudgeDeps) =>
  async ({ identity, password, failureLimit, client }: Attempt): Promise<Verdict> => {
    const { isCallerGone } = client
    const account = await lookUps.run(() => accounts.findByEmail(identity.canonical), isCallerGone)
    const { matches, needsRehash } = await hasher.verify(password, account?.password, isCallerGone)
    if (!account) return { refusal: 'unknown_account' }
    if (account.failedLogins >= failureLimit) return { refusal: 'password_locked' }
    if (!matches) return { refusal: 'wrong_password' }
    if (account.status !== 'active') return { refusal: 'account_disabled' }
    // A new hash can wait for the next log-in: when the queue is full, it must not turn a right password away.
    const rehashed = needsRehash ? await hasher.hash(password).catch(() => undefined) : undefined
    return { account, rehashed }
  }
