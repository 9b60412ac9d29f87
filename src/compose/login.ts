import { keyLabels } from '../keys/index.ts'
import {
  deviceTokens,
  type LogInInput,
  type LoginRouteDeps,
  logIn,
  loginRoutes,
  reauthenticate,
  reauthenticateRoutes,
} from '../login/index.ts'
import { openSession, type supersedeSessions } from '../sessions/index.ts'
import type { composeCookieSessions } from './cookie-sessions.ts'
import type { Core } from './core.ts'
import type { Limits } from './limits.ts'
import { onceReadyToSign } from './once-ready-to-sign.ts'
import type { composeSealed } from './sealed.ts'

export type LoginParts = {
  readonly cookies: ReturnType<typeof composeCookieSessions>
  readonly sealed: ReturnType<typeof composeSealed>
  readonly issue: LoginRouteDeps['issue']
  readonly supersede: ReturnType<typeof supersedeSessions>
  readonly limits: Limits
}

/** Signing in, for sessions of all kinds, and proving again who one is. */
export const composeLogin = (core: Core, parts: LoginParts) => {
  const { cookies, sealed, issue, supersede, limits } = parts
  const { config, machine, ring, stores, inTransaction, hasher, keys } = core
  const { clock, random } = machine
  const acts = {
    ...config,
    clock,
    hasher,
    inTransaction,
    accounts: stores.accounts,
    limits: limits.logins,
    spendAct: limits.spendAct,
    lookUps: limits.unproven.accountLookUps,
    records: limits.unproven.refusalRecords,
    devices: deviceTokens(ring.derive(keyLabels.device), random, clock),
  }
  const idleSeconds = config.sessionIdleSeconds
  const graceMs = config.refreshGraceSeconds * 1000
  const open = openSession(random, {
    idleSeconds,
    absoluteSeconds: config.sessionAbsoluteSeconds,
    perAccount: config.sessionsPerAccount,
  })
  const signIn = logIn({ ...acts, supersede, open: sealed.openOnlySealable(open) })
  const { issueCookie, issueRenewed } = cookies
  const signInForTokens = onceReadyToSign(keys, signIn)
  const signInParts = {
    // A session that is kept by a cookie needs no key to sign with.
    logIn: (input: LogInInput) =>
      input.kind === 'cookie' ? signIn(input) : signInForTokens(input),
    issueCookie,
  }
  const stepUpParts = {
    reauthenticate: reauthenticate({ ...acts, issueRenewed, idleSeconds, graceMs }),
  }
  return {
    /** What the login page signs in with. */
    pageParts: { ...signInParts, ...stepUpParts },
    routes: [
      loginRoutes({ ...signInParts, issue, answerSealed: sealed.answer }),
      reauthenticateRoutes(stepUpParts),
    ],
  }
}
