import type { Clock } from '../lib/clock.ts'
import { type openSession, scopeAtSignIn, type supersedeSessions } from '../sessions/index.ts'
import type { Attempt, LogInInput } from './attempt.ts'
import { attemptOf } from './attempt-of.ts'
import type { DeviceTokens } from './device-token.ts'
import { loginErrors } from './errors.ts'
import type { RightPassword } from './judge-password.ts'
import { type ProveDeps, provePassword } from './prove-password.ts'
import { recordSuccess } from './record-success.ts'

export type LogInDeps = ProveDeps & {
  readonly clock: Clock
  readonly devices: DeviceTokens
  readonly open: ReturnType<typeof openSession>
  readonly supersede: ReturnType<typeof supersedeSessions>
  readonly issuer: string
  /** The first is what a log-in that names none gets; the issuer itself may always be named. */
  readonly audiences: readonly string[]
}

/** The `client_id` of people who sign in here directly and not through an OAuth client. */
export const firstParty = 'first-party'

const audienceOf = ({ audiences, issuer }: LogInDeps, wanted: string | undefined): string => {
  const audience = wanted ?? audiences[0] ?? issuer
  if (audience === issuer || audiences.includes(audience)) return audience
  throw loginErrors.error('unknown_audience')
}

/**
 * Session, count and entry in one transaction, and the end of the sessions that the browser had. Nothing when the account has changed
 * since its password was judged.
 */
const openFor = (
  { clock, open, supersede, inTransaction, issuer }: LogInDeps,
  { account, rehashed }: RightPassword,
  { client, deviceId }: Attempt,
  {
    presented,
    ...wanted
  }: Pick<LogInInput, 'kind' | 'delivery' | 'presented'> & { readonly audience: string },
) =>
  inTransaction(async (stores) => {
    const { accountId } = account
    const locked = await stores.accounts.lock(accountId)
    if (locked?.password.phc !== account.password.phc || locked.status !== 'active') {
      return undefined
    }
    // First, so that what ends anyway takes no place among the sessions that an account may have.
    const superseded = await supersede(stores, presented, { ...wanted, accountId }, client)
    const opened = await open(stores, {
      accountId,
      ...wanted,
      clientId: firstParty,
      scope: scopeAtSignIn(locked.roles, wanted.audience, issuer),
      amr: ['pwd'],
      acr: 'aal1',
      client,
      nowMs: clock.nowMs(),
    })
    if (!opened) return undefined
    await recordSuccess(stores.accounts, locked, rehashed)
    await stores.audit.record({
      event: 'login_succeeded',
      outcome: 'success',
      actor: { kind: 'account', accountId },
      accountId,
      sessionId: opened.facts.sessionId,
      client,
      details: { factor: 'password', knownDevice: deviceId !== undefined },
    })
    return { ...opened, superseded }
  })

/**
 * Signs a person in with e-mail address and password.
 * @throws invalid_email, unknown_audience, and all that `provePassword` throws
 */
export const logIn = (deps: LogInDeps) => {
  const prove = provePassword(deps)
  return async (input: LogInInput) => {
    const audience = audienceOf(deps, input.audience)
    const attempt = attemptOf(deps.devices, input)
    const { kind, delivery, presented } = input
    const wanted = { kind, delivery, presented, audience }
    const opened = await prove(attempt, (right) => openFor(deps, right, attempt, wanted))
    const deviceToken = deps.devices.issue(attempt.identity.canonical, attempt.deviceId)
    return { ...opened, deviceToken }
  }
}
