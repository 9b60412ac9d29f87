import type { AccountStore, LoginAccount } from '../accounts/index.ts'
import {
  defaultAudience,
  type EndReplacedSessions,
  isServed,
  type OpenSession,
  type SessionSettings,
  scopeAtLogin,
} from '../sessions/index.ts'
import type { DeviceTokens } from './device-token.ts'
import { loginErrors } from './login-limits.ts'
import {
  type Attempt,
  attemptOf,
  type LogInInput,
  type ProveDeps,
  provePassword,
  type RightPassword,
} from './prove-password.ts'

/**
 * Clears the counted failures and stores a renewed hash, under the account's lock. Most logins have neither, and then nothing is written.
 */
export const recordSuccess = async (
  accounts: Pick<AccountStore, 'recordLogin'>,
  { accountId, failedLogins }: LoginAccount,
  { account: { deviceFailures }, rehashed }: RightPassword,
  { device }: Pick<Attempt, 'device'>,
): Promise<void> => {
  if (failedLogins === 0 && deviceFailures === 0 && !rehashed) return
  await accounts.recordLogin(accountId, rehashed, device?.deviceId)
}

export type LogInDeps = ProveDeps &
  Pick<SessionSettings, 'issuer' | 'audiences'> & {
    readonly devices: DeviceTokens
    readonly open: OpenSession
    readonly endReplaced: EndReplacedSessions
  }

/** The `client_id` of users who log in directly and not through an OAuth client. */
export const firstParty = 'first-party'

/**
 * Opens the session, clears the count, records the login and ends the browser's earlier sessions, in one transaction. Returns nothing when
 * the account has changed since its password was checked.
 */
const openFor = (
  deps: LogInDeps,
  right: RightPassword,
  attempt: Attempt,
  { kind, delivery, presented, persists, audiences: namedAudiences }: LogInInput,
) =>
  deps.inTransaction(async (stores) => {
    const { account } = right
    const { accountId } = account
    const { identity, client, device } = attempt
    const locked = await stores.accounts.lock(accountId)
    if (locked?.password.phc !== account.password.phc || locked.status !== 'active') {
      return undefined
    }
    // First, so that sessions that end anyway do not count toward the account's limit.
    const replaced = await deps.endReplaced(stores, presented, { kind, accountId }, client)
    const audience = namedAudiences[0] ?? defaultAudience(deps)
    const opened = await deps.open(stores, {
      accountId,
      kind,
      delivery,
      persists,
      audience,
      namedAudiences,
      clientId: firstParty,
      scope: scopeAtLogin(locked.roles, [audience, ...namedAudiences], deps.issuer),
      amr: ['pwd'],
      acr: 'aal1',
      client,
      nowMs: deps.clock.nowMs(),
    })
    if (!opened) return undefined
    await recordSuccess(stores.accounts, locked, right, attempt)
    await stores.audit.record({
      event: 'login_succeeded',
      outcome: 'success',
      actor: { kind: 'account', accountId },
      accountId,
      sessionId: opened.facts.sessionId,
      client,
      details: { factor: 'password', knownDevice: device !== undefined },
    })
    const deviceToken = deps.devices.issue(identity.canonical, opened.facts, device?.deviceId)
    return { ...opened, replaced, deviceToken }
  })

/**
 * Logs a user in with e-mail address and password.
 * @throws invalid_email, unknown_audience, and what `provePassword` throws
 */
export const logIn = (deps: LogInDeps) => {
  const prove = provePassword(deps)
  return async function logIn(input: LogInInput) {
    if (!input.audiences.every((audience) => isServed(audience, deps))) {
      throw loginErrors.error('unknown_audience')
    }
    const presented = attemptOf(deps.devices, input)
    return prove(presented, (right, attempt) => openFor(deps, right, attempt, input))
  }
}

export type LogIn = ReturnType<typeof logIn>
