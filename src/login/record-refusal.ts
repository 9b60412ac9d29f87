import type { AccountStores } from '../accounts/index.ts'
import type { InTransaction } from '../sessions/index.ts'
import type { Attempt, Refusal } from './attempt.ts'
import type { TooManyAttempts } from './errors.ts'

type Unit = InTransaction<Pick<AccountStores, 'accounts' | 'audit'>>

const nobody = { outcome: 'failure', actor: { kind: 'anonymous' } } as const

/**
 * Counts and records an attempt that was refused. The same statements run whether or not there is such an account. Once the count has
 * reached its limit it stays there, so that strangers cannot use up what devices of the owner have left.
 */
export const recordRefusal =
  (inTransaction: Unit) =>
  async (reason: Refusal, { identity, client, failureLimit }: Attempt): Promise<void> => {
    const facts = { ...nobody, client, identifier: identity.canonical }
    await inTransaction(async ({ accounts, audit }) => {
      const failures = await accounts.countFailedLogin(identity.canonical, failureLimit)
      await audit.record({ ...facts, event: 'login_failed', reason })
      if (failures === failureLimit) {
        await audit.record({ ...facts, event: 'login_locked', reason: 'password_locked' })
      }
    })
  }

/**
 * Records that the password was right, and yet nobody was signed in. It counts as no failure, but must not go unseen: somebody knows that
 * password. Inside a transaction of the caller's.
 * @param reason the code of the error that the caller of the API gets
 */
export const recordUnserved = (
  { audit }: Pick<AccountStores, 'audit'>,
  reason: string,
  accountId: string,
  { identity, client }: Pick<Attempt, 'identity' | 'client'>,
): Promise<void> =>
  audit.record({
    event: 'login_failed',
    outcome: 'failure',
    reason,
    actor: { kind: 'account', accountId },
    accountId,
    identifier: identity.canonical,
    client,
  })

/** A flood is refused thousands of times; one entry a window tells of it without filling the disk. */
export const recordLimit =
  (inTransaction: Unit) =>
  async (error: TooManyAttempts, { identity, client }: Attempt): Promise<void> => {
    if (!error.firstInWindow) return
    const reason = error.limit
    await inTransaction(({ audit }) =>
      audit.record({
        ...nobody,
        event: 'login_limited',
        reason,
        identifier: identity.canonical,
        client,
      }),
    )
  }
