import {
  type AccountForLogin,
  type AccountStore,
  type AccountStores,
  type BoundedPasswordHasher,
  type EmailAddress,
  parseEmail,
  type StoredPassword,
} from '../accounts/index.ts'
import type { RequestFacts } from '../audit/index.ts'
import { AppError } from '../lib/app-error.ts'
import type { BoundedQueue } from '../lib/bounded-queue.ts'
import { callerGone } from '../lib/caller-presence.ts'
import type { InTransaction } from '../lib/in-transaction.ts'
import type { Clock } from '../lib/machine.ts'
import type { Delivery, PresentedCookies, SessionKind } from '../sessions/index.ts'
import type { DeviceTokens, PresentedDevice } from './device-token.ts'
import {
  type AdmittedAttempt,
  type LoginLimits,
  loginErrors,
  type SpendAct,
  TooManyAttempts,
} from './login-limits.ts'

/**
 * The maximum number of wrong passwords in a row (NIST SP 800-63B-4 section 3.2.2 allows fewer than 100 for an account). There are two counters:
 * - One for all unknown devices of an account together. At its limit the password is locked for unknown devices.
 * - One for each known device. At its limit the device counts as unknown. Other devices never change this counter.
 * The limits add up to fewer than 100, so a stolen device token gives fewer than 100 guesses, also with attempts in parallel. An operator
 * resets both counters by setting the account active.
 */
export const failedLoginLimit = (isKnownDevice: boolean): number => (isKnownDevice ? 40 : 50)

export type LogInInput = {
  readonly email: string
  readonly password: string
  readonly kind: SessionKind
  readonly delivery: Delivery
  /** The requested audiences, that of the first token first. */
  readonly audiences: readonly string[]
  /** False: the session ends with the browser. */
  readonly persists: boolean
  readonly deviceToken: string | undefined
  /** The cookies of the browser that logs in. */
  readonly presented: PresentedCookies
  readonly client: RequestFacts
}

/** One attempt to prove a password. */
export type Attempt = {
  readonly identity: EmailAddress
  readonly password: string
  readonly client: RequestFacts
  /** The session that is reauthenticated. Undefined at a login. */
  readonly sessionId: string | undefined
  /** From a device token for this address. After the account was looked up, only of a device that it knows. */
  readonly device: PresentedDevice | undefined
}

/**
 * What is known before any lookup.
 * @throws invalid_email
 */
export const attemptOf = (
  devices: Pick<DeviceTokens, 'read'>,
  input: Pick<LogInInput, 'email' | 'password' | 'client' | 'deviceToken'>,
  sessionId?: string,
): Attempt => {
  const identity = parseEmail(input.email)
  const { password, client, deviceToken } = input
  const device = deviceToken ? devices.read(deviceToken, identity.canonical) : undefined
  return { identity, password, client, sessionId, device }
}

/**
 * Whether the limits for a known device apply. They do not after a change of the password or a revocation, because a token from before may
 * be in other hands. Nor for another account that has the address now. Nor for a device that has failed too often in a row itself.
 */
const isKnownDevice = (
  { accountEpoch, globalEpoch, isOfAccount }: PresentedDevice,
  account: AccountForLogin | undefined,
): boolean =>
  account !== undefined &&
  isOfAccount(account.accountId) &&
  account.epoch === accountEpoch &&
  account.globalEpoch === globalEpoch &&
  account.deviceFailures < failedLoginLimit(true)

/** Why an attempt was refused. Only the audit trail has this; the caller always gets `invalid_credentials`. */
export type Refusal = 'unknown_account' | 'wrong_password' | 'account_disabled' | 'password_locked'

export type JudgeDeps = {
  readonly hasher: BoundedPasswordHasher
  readonly accounts: Pick<AccountStore, 'findByEmail'>
  /** Anyone can cause a lookup, so all lookups together get only this share of the pool. */
  readonly lookUps: Pick<BoundedQueue, 'run'>
}

export type RightPassword = {
  readonly account: AccountForLogin
  /** A hash under the current policy, when the stored one is older. */
  readonly rehashed: StoredPassword | undefined
}

export type PasswordVerdict = { readonly refusal: Refusal } | RightPassword

/** @throws server_busy, store_unavailable, caller_gone */
const lookUpAccount = (
  { accounts, lookUps }: Pick<JudgeDeps, 'accounts' | 'lookUps'>,
  { identity, device, client }: Attempt,
): Promise<AccountForLogin | undefined> =>
  lookUps.run(() => accounts.findByEmail(identity.canonical, device?.deviceId), client.isCallerGone)

/**
 * Checks the password of this account, or of none. It always computes one hash, before anything is decided, so that the time reveals
 * nothing about the account.
 * @throws invalid_password, server_busy, caller_gone
 */
const judgePassword = async (
  { hasher }: Pick<JudgeDeps, 'hasher'>,
  { password, device, client: { isCallerGone } }: Attempt,
  account: AccountForLogin | undefined,
): Promise<PasswordVerdict> => {
  const { matches, needsRehash } = await hasher.verify(password, account?.password, isCallerGone)
  if (!account) return { refusal: 'unknown_account' }
  const isStranger = device === undefined
  if (isStranger && account.failedLogins >= failedLoginLimit(false)) {
    return { refusal: 'password_locked' }
  }
  if (!matches) return { refusal: 'wrong_password' }
  if (account.status !== 'active') return { refusal: 'account_disabled' }
  // A new hash can wait for the next login: a full queue must not reject a correct password.
  const rehashed = needsRehash ? await hasher.hash(password).catch(() => undefined) : undefined
  return { account, rehashed }
}

type Unit = InTransaction<Pick<AccountStores, 'accounts' | 'audit'>>

const anonymousFailure = { outcome: 'failure', actor: { kind: 'anonymous' } } as const

/** Whether this failure reached the limit, of unknown devices or of the known device. */
const countFailure = async (
  accounts: Pick<AccountStore, 'countFailedLogin' | 'countDeviceFailure'>,
  { identity: { canonical: canonicalEmail }, device }: Attempt,
  nowMs: number,
): Promise<boolean> => {
  const limit = failedLoginLimit(device !== undefined)
  const failures = device
    ? await accounts.countDeviceFailure({ canonicalEmail, ...device, limit, nowMs })
    : await accounts.countFailedLogin(canonicalEmail, limit)
  return failures === limit
}

/**
 * Counts and records a refused attempt. The same statements run whether or not there is such an account. A count at its limit stays there.
 */
const recordRefusal =
  (inTransaction: Unit, clock: Clock) =>
  async (reason: Refusal, attempt: Attempt): Promise<void> => {
    const { identity, client, device } = attempt
    const facts = { ...anonymousFailure, client, identifier: identity.canonical }
    await inTransaction(async ({ accounts, audit }) => {
      const isLast = await countFailure(accounts, attempt, clock.nowMs())
      await audit.record({ ...facts, event: 'login_failed', reason })
      if (!isLast) return
      const locked = device ? 'device_locked' : 'password_locked'
      await audit.record({ ...facts, event: 'login_locked', reason: locked })
    })
  }

/**
 * Records that the password was correct but nobody was logged in. It is no failure, but must be visible: somebody knows that password. Runs
 * inside the caller's transaction.
 * @param reason the error code that the API caller gets
 */
export const recordLoginNotCompleted = (
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

/** A flood is refused thousands of times. One entry per window records it without filling the disk. */
const recordLimit =
  (inTransaction: Unit) =>
  async (error: TooManyAttempts, { identity, client }: Attempt): Promise<void> => {
    if (!error.firstInWindow) return
    const reason = error.limit
    await inTransaction(({ audit }) =>
      audit.record({
        ...anonymousFailure,
        event: 'login_limited',
        reason,
        identifier: identity.canonical,
        client,
      }),
    )
  }

export type ProveDeps = JudgeDeps & {
  readonly clock: Clock
  readonly limits: LoginLimits
  readonly spendAct: SpendAct
  readonly inTransaction: InTransaction<AccountStores>
  /** The records of refused attempts. All together get only this share of the pool. */
  readonly records: Pick<BoundedQueue, 'run'>
}

/**
 * Transactions for callers that have not authenticated. They also run after the caller has disconnected, because guesses must be counted.
 */
const recording =
  ({ records, inTransaction }: ProveDeps): InTransaction<AccountStores> =>
  (work) =>
    records.run(() => inTransaction(work))

const admit = async (deps: ProveDeps, attempt: Attempt): Promise<AdmittedAttempt> => {
  const { identity, client, device } = attempt
  try {
    const { address } = client
    const deviceId = device?.deviceId
    return await deps.limits.admit({ identifier: identity.canonical, address, deviceId })
  } catch (error) {
    if (error instanceof TooManyAttempts) await recordLimit(recording(deps))(error, attempt)
    throw error
  }
}

/** The account may change after its password was checked: a parallel login renews the hash, or the password is changed. */
const maxJudgements = 2

/**
 * An unreachable store or a full queue is not a wrong password. Otherwise an outage would lock out users who retry. The same holds for a
 * caller who left before anything was hashed. All other errors count.
 */
const settleUnjudged = async (admitted: AdmittedAttempt, error: unknown): Promise<never> => {
  const isUnjudged =
    error instanceof AppError && (error.status === 503 || error.code === 'caller_gone')
  await (isUnjudged ? admitted.withdrawn() : admitted.failed())
  throw error
}

/**
 * Takes a slot at the limits, and looks the account up. A device whose token is no longer valid takes a slot among unknown devices instead,
 * before anything is hashed.
 */
const enter = async (deps: ProveDeps, presented: Attempt) => {
  const admitted = await admit(deps, presented)
  const looking = lookUpAccount(deps, presented)
  const account = await looking.catch((error: unknown) => settleUnjudged(admitted, error))
  if (presented.device === undefined || isKnownDevice(presented.device, account)) {
    return { attempt: presented, admitted, account }
  }
  await admitted.withdrawn()
  const attempt = { ...presented, device: undefined }
  return { attempt, admitted: await admit(deps, attempt), account }
}

/** Runs before anything is done for a correct password: checks the budget, and that the caller is still connected to receive a session. */
const assertServable = async (
  { spendAct }: ProveDeps,
  { account: { accountId } }: RightPassword,
  { client, sessionId }: Attempt,
): Promise<void> => {
  // The login would end the browser's old sessions, but the response with the new one would reach nobody.
  if (client.isCallerGone?.()) throw callerGone()
  await spendAct({ subjectId: accountId, sessionId })
}

/**
 * Nor is a correct password whose request cannot be fulfilled, for example because the roles do not fit into that kind of session. The
 * transaction was rolled back with its entry, so a separate entry is written, unless the store is unavailable.
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
      await inTransaction((stores) =>
        recordLoginNotCompleted(stores, error.code, accountId, attempt),
      )
    }
    throw error
  }

/**
 * Takes an attempt through limits, hashing and the same response for every refusal, and calls `act` for a correct password. `act` returns
 * nothing when the account has changed since the password was checked. The order: room in the hash queue, then the limits, then the hash,
 * then transactions. Unknown, wrong, disabled and locked cost the same hash, run the same statements and get the same response.
 * @throws invalid_password, too_many_attempts, too_many_acts, invalid_credentials, server_busy, store_unavailable, caller_gone, and what
 * `act` throws
 */
export const provePassword = (deps: ProveDeps) => {
  const refuse = recordRefusal(recording(deps), deps.clock)
  return async function provePassword<Outcome>(
    presented: Attempt,
    act: (right: RightPassword, attempt: Attempt) => Promise<Outcome | undefined>,
  ): Promise<Outcome> {
    // Requests that the full queue would refuse are rejected before Redis or Postgres is asked, so that a flood overloads neither. The
    // queue does not depend on the caller.
    deps.hasher.assertQueueCapacity()
    // A reset connection no longer has an address, so nothing can be counted for it.
    if (presented.client.isCallerGone?.()) throw callerGone()
    const { attempt, admitted, account } = await enter(deps, presented)
    const unserved = withdrawUnserved(deps, admitted)
    const judge = async (turn: number) =>
      judgePassword(deps, attempt, turn === 0 ? account : await lookUpAccount(deps, attempt))
    let refusal: Refusal = 'account_disabled'
    for (let turn = 0; turn < maxJudgements; turn += 1) {
      const verdict = await judge(turn).catch((error) => settleUnjudged(admitted, error))
      if ('refusal' in verdict) {
        refusal = verdict.refusal
        break
      }
      await assertServable(deps, verdict, attempt).catch(async (error: unknown) => {
        await admitted.withdrawn()
        throw error
      })
      const outcome = await act(verdict, attempt).catch((error) =>
        unserved(attempt, verdict, error),
      )
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
