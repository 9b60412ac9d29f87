import {
  type AccountStore,
  type AccountStores,
  type EmailAddress,
  failedLoginLimit,
  type LoginAccount,
  type PasswordHasher,
  parseEmail,
  type StoredPassword,
} from '../accounts/index.ts'
import type { RequestFacts } from '../audit/index.ts'
import type { AppError } from '../lib/app-error.ts'
import type { Clock } from '../lib/clock.ts'
import type { Delivery, InTransaction, openSession } from '../sessions/index.ts'
import { scopeAtSignIn } from '../sessions/index.ts'
import type { DeviceTokens } from './device-token.ts'
import { loginErrors, TooManyAttempts } from './errors.ts'
import type { LoginLimits } from './login-limits.ts'

export type LogInDeps = {
  readonly clock: Clock
  readonly limits: LoginLimits
  readonly devices: DeviceTokens
  readonly hasher: PasswordHasher
  readonly accounts: Pick<AccountStore, 'findByEmail'>
  readonly open: ReturnType<typeof openSession>
  readonly inTransaction: InTransaction<AccountStores>
  readonly issuer: string
  /** The first is what a log-in that names none gets; the issuer itself may always be named. */
  readonly audiences: readonly string[]
}

export type LogInInput = {
  readonly email: string
  readonly password: string
  readonly delivery: Delivery
  readonly audience: string | undefined
  readonly deviceToken: string | undefined
  readonly client: RequestFacts
}

/** Why a log-in was refused: for the trail only, the caller always gets `invalid_credentials`. */
type Refusal = 'unknown_account' | 'wrong_password' | 'account_disabled' | 'password_locked'

/** The `client_id` of people who sign in here directly and not through an OAuth client. */
const firstParty = 'first-party'

type Attempt = LogInInput & {
  readonly identity: EmailAddress
  readonly deviceId: string | undefined
  /** Wrong passwords in a row from which on this device may not try any more. */
  readonly failureLimit: number
}

type Verdict =
  | { readonly refusal: Refusal }
  | { readonly account: LoginAccount; readonly rehashed: StoredPassword | undefined }

/**
 * Signs a person in with e-mail address and password. Limits come before any hashing; hashing comes before any transaction; unknown,
 * wrong, disabled and locked pay the same hash, write the same rows and get the same answer.
 * @throws invalid_email, invalid_password, unknown_audience, too_many_attempts, invalid_credentials, server_busy, store_unavailable
 */
export const logIn = (deps: LogInDeps) => {
  const { clock, hasher, inTransaction } = deps

  const audienceOf = (wanted: string | undefined): string => {
    const audience = wanted ?? deps.audiences[0] ?? deps.issuer
    if (audience === deps.issuer || deps.audiences.includes(audience)) return audience
    throw loginErrors.error('unknown_audience')
  }

  const recordLimit = async (error: TooManyAttempts, attempt: Attempt): Promise<void> => {
    // A flood is refused thousands of times; one entry a window tells of it without filling the disk.
    if (!error.firstInWindow) return
    await inTransaction(({ audit }) =>
      audit.record({
        event: 'login_limited',
        outcome: 'failure',
        reason: error.limit,
        actor: { kind: 'anonymous' },
        identifier: attempt.identity.canonical,
        client: attempt.client,
      }),
    )
  }

  const admit = (attempt: Attempt) => {
    const { identity, client, deviceId } = attempt
    const { address } = client
    return deps.limits
      .admit({ identifier: identity.canonical, address, deviceId })
      .catch(async (error: unknown) => {
        if (error instanceof TooManyAttempts) await recordLimit(error, attempt)
        throw error
      })
  }

  /** The hash is paid whatever the account is like, so that the time taken tells nothing of it. */
  const judge = async (attempt: Attempt): Promise<Verdict> => {
    const account = await deps.accounts.findByEmail(attempt.identity.canonical)
    const verdict = await hasher.verify(attempt.password, account?.password)
    if (!account) return { refusal: 'unknown_account' }
    if (account.failedLogins >= attempt.failureLimit) return { refusal: 'password_locked' }
    if (!verdict.matches) return { refusal: 'wrong_password' }
    if (account.status !== 'active') return { refusal: 'account_disabled' }
    const rehashed = verdict.needsRehash ? await hasher.hash(attempt.password) : undefined
    return { account, rehashed }
  }

  const refuse = async (reason: Refusal, attempt: Attempt): Promise<AppError> => {
    const { identity, client, failureLimit } = attempt
    await inTransaction(async ({ accounts, audit }) => {
      const failures = await accounts.countFailedLogin(identity.canonical, failureLimit)
      const facts = { outcome: 'failure', actor: { kind: 'anonymous' }, client } as const
      const identifier = identity.canonical
      await audit.record({ ...facts, event: 'login_failed', reason, identifier })
      if (failures === failureLimit) {
        await audit.record({
          ...facts,
          event: 'login_locked',
          reason: 'password_locked',
          identifier,
        })
      }
    })
    return loginErrors.error('invalid_credentials')
  }

  const open = (
    { account, rehashed }: Extract<Verdict, { account: unknown }>,
    attempt: Attempt,
    audience: string,
  ) =>
    inTransaction(async (stores) => {
      const { accountId } = account
      const locked = await stores.accounts.lock(accountId)
      // The password that was right a moment ago may have been changed while it was being hashed.
      if (locked?.password.phc !== account.password.phc) return undefined
      const opened = await deps.open(stores, {
        accountId,
        delivery: attempt.delivery,
        clientId: firstParty,
        audience,
        scope: scopeAtSignIn(locked.roles, audience, deps.issuer),
        amr: ['pwd'],
        acr: 'aal1',
        client: attempt.client,
        nowMs: clock.nowMs(),
      })
      if (!opened) return undefined
      await stores.accounts.recordLogin(accountId, rehashed)
      await stores.audit.record({
        event: 'login_succeeded',
        outcome: 'success',
        actor: { kind: 'account', accountId },
        accountId,
        sessionId: opened.facts.sessionId,
        client: attempt.client,
        details: { factor: 'password', knownDevice: attempt.deviceId !== undefined },
      })
      return opened
    })

  return async (input: LogInInput) => {
    const audience = audienceOf(input.audience)
    const identity = parseEmail(input.email)
    const { canonical } = identity
    const deviceId = input.deviceToken ? deps.devices.read(input.deviceToken, canonical) : undefined
    const failureLimit = failedLoginLimit(deviceId !== undefined)
    const attempt: Attempt = { ...input, identity, deviceId, failureLimit }
    const admitted = await admit(attempt)
    const verdict = await judge(attempt)
    if ('refusal' in verdict) throw await refuse(verdict.refusal, attempt)
    const opened = await open(verdict, attempt, audience)
    if (!opened) throw await refuse('account_disabled', attempt)
    await admitted.succeeded()
    return { ...opened, deviceToken: deps.devices.issue(canonical, attempt.deviceId) }
  }
}
