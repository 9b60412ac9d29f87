import { type AccountStores, failedLoginLimit, parseEmail } from '../accounts/index.ts'
import { AppError } from '../lib/app-error.ts'
import type { Clock } from '../lib/clock.ts'
import { type InTransaction, type openSession, scopeAtSignIn } from '../sessions/index.ts'
import type { Attempt, LogInInput, Refusal } from './attempt.ts'
import type { DeviceTokens } from './device-token.ts'
import { loginErrors, TooManyAttempts } from './errors.ts'
import { type JudgeDeps, judgePassword, type RightPassword } from './judge-password.ts'
import type { AdmittedAttempt, LoginLimits } from './login-limits.ts'
import { recordLimit, recordRefusal } from './record-refusal.ts'

export type LogInDeps = JudgeDeps & {
  readonly clock: Clock
  readonly limits: LoginLimits
  readonly devices: DeviceTokens
  readonly open: ReturnType<typeof openSession>
  readonly inTransaction: InTransaction<AccountStores>
  readonly issuer: string
  /** The first is what a log-in that names none gets; the issuer itself may always be named. */
  readonly audiences: readonly string[]
}

/** The `client_id` of people who sign in here directly and not through an OAuth client. */
const firstParty = 'first-party'

const audienceOf = ({ audiences, issuer }: LogInDeps, wanted: string | undefined): string => {
  const audience = wanted ?? audiences[0] ?? issuer
  if (audience === issuer || audiences.includes(audience)) return audience
  throw loginErrors.error('unknown_audience')
}

const attemptOf = ({ devices }: LogInDeps, input: LogInInput): Attempt => {
  const identity = parseEmail(input.email)
  const { password, client, deviceToken } = input
  const deviceId = deviceToken ? devices.read(deviceToken, identity.canonical) : undefined
  return {
    identity,
    password,
    client,
    deviceId,
    failureLimit: failedLoginLimit(deviceId !== undefined),
  }
}

const admit = async (deps: LogInDeps, attempt: Attempt): Promise<AdmittedAttempt> => {
  const { identity, client, deviceId } = attempt
  try {
    const { address } = client
    return await deps.limits.admit({ identifier: identity.canonical, address, deviceId })
  } catch (error) {
    if (error instanceof TooManyAttempts) await recordLimit(deps.inTransaction)(error, attempt)
    throw error
  }
}

/** Session, count and entry in one transaction. Nothing when the account has changed since its password was judged. */
const openFor = (
  { clock, open, inTransaction, issuer }: LogInDeps,
  { account, rehashed }: RightPassword,
  { client, deviceId }: Attempt,
  { delivery, audience }: { delivery: LogInInput['delivery']; audience: string },
) =>
  inTransaction(async (stores) => {
    const { accountId } = account
    const locked = await stores.accounts.lock(accountId)
    if (locked?.password.phc !== account.password.phc) return undefined
    const opened = await open(stores, {
      accountId,
      delivery,
      clientId: firstParty,
      audience,
      scope: scopeAtSignIn(locked.roles, audience, issuer),
      amr: ['pwd'],
      acr: 'aal1',
      client,
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
      client,
      details: { factor: 'password', knownDevice: deviceId !== undefined },
    })
    return opened
  })

/** A log-in beside this one may have renewed the hash after this one was judged by it; it does so once. */
const mostJudgements = 2

/** A store that is away or a full queue is no wrong password, or an outage would lock the people out who try again in it. */
const withdrawUnjudged = async (admitted: AdmittedAttempt, error: unknown): Promise<never> => {
  if (error instanceof AppError && error.status === 503) await admitted.withdrawn()
  throw error
}

/**
 * Signs a person in with e-mail address and password. Limits come before any hashing, hashing before any transaction; unknown, wrong,
 * disabled and locked pay the same hash, run the same statements and get the same answer.
 * @throws invalid_email, invalid_password, unknown_audience, too_many_attempts, invalid_credentials, server_busy, store_unavailable
 */
export const logIn = (deps: LogInDeps) => {
  const judge = judgePassword(deps)
  const refuse = recordRefusal(deps.inTransaction)
  return async (input: LogInInput) => {
    const audience = audienceOf(deps, input.audience)
    const attempt = attemptOf(deps, input)
    const admitted = await admit(deps, attempt)
    let refusal: Refusal = 'account_disabled'
    for (let turn = 0; turn < mostJudgements; turn += 1) {
      const verdict = await judge(attempt).catch((error) => withdrawUnjudged(admitted, error))
      if ('refusal' in verdict) {
        refusal = verdict.refusal
        break
      }
      const wanted = { delivery: input.delivery, audience }
      const opened = await openFor(deps, verdict, attempt, wanted)
      if (opened) {
        await admitted.succeeded()
        const deviceToken = deps.devices.issue(attempt.identity.canonical, attempt.deviceId)
        return { ...opened, deviceToken }
      }
      if (!verdict.needsRehash) break
    }
    await refuse(refusal, attempt)
    throw loginErrors.error('invalid_credentials')
  }
}
