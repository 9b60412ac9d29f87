import type { AccountStores } from '../accounts/index.ts'
import { AppError } from '../lib/app-error.ts'
import type { BoundedQueue } from '../lib/bounded-queue.ts'
import { callerGone } from '../lib/caller-presence.ts'
import type { InTransaction } from '../sessions/index.ts'
import type { SpendAct } from './act-budget.ts'
import type { Attempt, Refusal } from './attempt.ts'
import { loginErrors, TooManyAttempts } from './errors.ts'
import { type JudgeDeps, judgePassword, type RightPassword } from './judge-password.ts'
import type { AdmittedAttempt, LoginLimits } from './login-limits.ts'
import { recordLimit, recordRefusal, recordUnserved } from './record-refusal.ts'

export type ProveDeps = JudgeDeps & {
  readonly limits: LoginLimits
  readonly spendAct: SpendAct
  readonly inTransaction: InTransaction<AccountStores>
  /** What is written of attempts that were refused: all together get no more than this of the pool. */
  readonly records: Pick<BoundedQueue, 'run'>
}

/** Transactions on behalf of nobody who has proven anything. Also for a caller who has gone: guesses are counted either way. */
const recording =
  ({ records, inTransaction }: ProveDeps): InTransaction<AccountStores> =>
  (work) =>
    records.run(() => inTransaction(work))

const admit = async (deps: ProveDeps, attempt: Attempt): Promise<AdmittedAttempt> => {
  const { identity, client, deviceId } = attempt
  try {
    const { address } = client
    return await deps.limits.admit({ identifier: identity.canonical, address, deviceId })
  } catch (error) {
    if (error instanceof TooManyAttempts) await recordLimit(recording(deps))(error, attempt)
    throw error
  }
}

/** The account may change after its password was judged: a log-in beside this one renews the hash, or somebody sets another password. */
const mostJudgements = 2

/**
 * A store that is away or a full queue is no wrong password, or an outage would lock the people out who try again in it. Nor is a caller
 * who left before anything was hashed. What else goes wrong counts.
 */
const settleUnjudged = async (admitted: AdmittedAttempt, error: unknown): Promise<never> => {
  const isUnjudged =
    error instanceof AppError && (error.status === 503 || error.code === 'caller_gone')
  await (isUnjudged ? admitted.withdrawn() : admitted.failed())
  throw error
}

/** Before anything is done for whoever has the right password: their budget, and whether they are still there to get a session. */
const demandServable = async (
  { spendAct }: ProveDeps,
  { account: { accountId } }: RightPassword,
  { client, sessionId }: Attempt,
): Promise<void> => {
  // What the browser holds would end, and the answer with what takes its place go nowhere.
  if (client.isCallerGone?.()) throw callerGone()
  await spendAct({ subjectId: accountId, sessionId })
}

/**
 * Nor is a right one whose owner cannot be given what was asked for: their roles may not fit into that kind of session. What was begun
 * for them is undone by now, its entry too; so there is one of its own, unless the store is away.
 */
const withdrawUnserved =
  ({ inTransaction }: ProveDeps, admitted: AdmittedAttempt) =>
  async (attempt: Attempt, { account }: RightPassword, error: unknown): Promise<never> => {
    if (!(error instanceof AppError)) {
      await admitted.failed()
      throw error
    }
    await admitted.withdrawn()
    if (error.status < 500) {
      const { accountId } = account
      await inTransaction((stores) => recordUnserved(stores, error.code, accountId, attempt))
    }
    throw error
  }

/**
 * Takes an attempt through limits, hashing and one answer for every refusal, and acts for whoever has the right password; `act` gives
 * nothing when the account has changed since the password was judged. A look for room to hash comes first, then the limits, then the hash,
 * transactions last; unknown, wrong, disabled and locked pay the same hash, run the same statements and get the same answer.
 * @throws invalid_password, too_many_attempts, too_many_acts, invalid_credentials, server_busy, store_unavailable, caller_gone, and what
 * `act` throws
 */
export const provePassword = (deps: ProveDeps) => {
  const judge = judgePassword(deps)
  const refuse = recordRefusal(recording(deps))
  return async <Outcome>(
    attempt: Attempt,
    act: (right: RightPassword) => Promise<Outcome | undefined>,
  ): Promise<Outcome> => {
    // Whom the queue will refuse costs no store anything, so that a flood overloads neither of them. It has room or not whoever asks.
    deps.hasher.demandRoom()
    // The address of a connection that was reset is not known any more, and nothing can be counted for it.
    if (attempt.client.isCallerGone?.()) throw callerGone()
    const admitted = await admit(deps, attempt)
    const unserved = withdrawUnserved(deps, admitted)
    let refusal: Refusal = 'account_disabled'
    for (let turn = 0; turn < mostJudgements; turn += 1) {
      const verdict = await judge(attempt).catch((error) => settleUnjudged(admitted, error))
      if ('refusal' in verdict) {
        refusal = verdict.refusal
        break
      }
      await demandServable(deps, verdict, attempt).catch(async (error: unknown) => {
        await admitted.withdrawn()
        throw error
      })
      const outcome = await act(verdict).catch((error) => unserved(attempt, verdict, error))
      if (outcome !== undefined) {
        await admitted.succeeded()
        return outcome
      }
    }
    await admitted.failed()
    await refuse(refusal, attempt)
    throw loginErrors.error('invalid_credentials')
  }
}
