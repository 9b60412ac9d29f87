import { accountRoutes } from '../accounts/index.ts'
import { adminClientRoutes, adminRoutes } from '../admin/index.ts'
import type { Config } from '../config/index.ts'
import { healthRoutes } from '../health/index.ts'
import type { Caller } from '../http/access.ts'
import type { Log } from '../http/log.ts'
import { keyLabels } from '../keys/index.ts'
import { hasCode } from '../lib/app-error.ts'
import { systemClock } from '../lib/clock.ts'
import { patiently } from '../lib/patiently.ts'
import { shareBriefly } from '../lib/share-briefly.ts'
import type { LoginRouteDeps } from '../login/index.ts'
import { type Revocations, revocationRoutes } from '../revocation/index.ts'
import {
  adminScope,
  endOwnSession,
  endOwnSessions,
  endPresentedSession,
  handleCodec,
  issueTokens,
  logOut,
  logoutRoutes,
  operatorRole,
  ownSessionRoutes,
  type RefreshDeps,
  type RefreshRules,
  refreshRoutes,
  refreshSession,
  supersedeSessions,
} from '../sessions/index.ts'
import { type AccessTokenClaims, mintAccessToken } from '../tokens/index.ts'
import { anyBearerCheck, personBearerCheck } from './bearer.ts'
import { composeCookieSessions } from './cookie-sessions.ts'
import type { Core } from './core.ts'
import { composeForwardAuth } from './forward-auth.ts'
import { composeLimits, type Limits } from './limits.ts'
import { composeLogin } from './login.ts'
import { composeOauth } from './oauth.ts'
import { onceReadyToSign } from './once-ready-to-sign.ts'
import { composeSealed } from './sealed.ts'

const callerFrom = (claims: AccessTokenClaims): Caller => ({
  accountId: claims.sub,
  sessionId: claims.sid,
  tokenId: claims.jti,
  roles: claims.roles,
  scopes: claims.scope.split(' '),
  audience: typeof claims.aud === 'string' ? [claims.aud] : claims.aud,
})

const never = Number.MAX_SAFE_INTEGER

/** Whether the session of these facts is dead. Roles that changed end no session. */
const isRevokedBy =
  ({ covers }: Pick<Revocations['replica'], 'covers'>): RefreshDeps['isRevoked'] =>
  ({ accountId: sub, sessionId: sid, globalEpoch, accountEpoch }) =>
    covers({ sub, sid, jti: '', kid: '', aep: [globalEpoch, accountEpoch, never] }) !== undefined

/**
 * How old an answer to "is it ready" may be: anybody may ask, and as often as they like. By the clock of the machine, also in tests that set
 * the time of the service.
 */
const probeKeptMs = 1_000

const healthOf = (core: Core, log: Log) => {
  const { database, redis, revocations, dataLoss, time } = core
  const kept = { clock: systemClock, keepMs: probeKeptMs }
  return healthRoutes({
    postgres: shareBriefly(database.ping, kept),
    isNotPrimary: database.isNotPrimary,
    redis: redis && shareBriefly(redis.ping, kept),
    hasLostData: dataLoss.isUnanswered,
    knowsRevocations: () => revocations.replica.state() !== 'LOADING',
    dropsLogLines: log.isDropping,
    clock: time.agreement,
  })
}

/** Not with a token meant for another service: that service could have kept it. */
const mayOperateAt =
  (issuer: string) =>
  ({ roles, scopes, audience }: Caller): boolean =>
    roles.includes(operatorRole) && scopes.includes(adminScope) && audience.includes(issuer)

const refreshRules = ({ refreshGraceSeconds, refreshLostResponse }: Config): RefreshRules => ({
  graceMs: refreshGraceSeconds * 1000,
  lostResponse: refreshLostResponse,
})

/** Making the first keys takes several statements, of which a busy machine may need longer than a request would wait. */
const openPatiently = ({ config, machine, keys }: Core): Promise<void> =>
  patiently(keys.open, {
    patienceMs: config.databaseStartTimeoutSeconds * 1000,
    clock: machine.clock,
    isPassing: (error) => hasCode(error, 'store_unavailable'),
  })

const composeRefresh = (
  { config, keys, revocations }: Core,
  acts: Omit<RefreshDeps, 'rules' | 'idleSeconds' | 'isRevoked' | 'mayRecord'>,
  { spendAct }: Limits,
) =>
  onceReadyToSign(
    keys,
    refreshSession({
      ...acts,
      rules: refreshRules(config),
      idleSeconds: config.sessionIdleSeconds,
      isRevoked: isRevokedBy(revocations.replica),
      mayRecord: (spender) =>
        spendAct(spender).then(
          () => true,
          () => false,
        ),
    }),
  )

/** The service's routes and what its edge needs to know who calls. */
export const composeService = async (core: Core, log: Log) => {
  const { config, machine, stores, inTransaction, reference, ring, keys } = core
  const { clock, random } = machine
  await openPatiently(core)
  const cookies = composeCookieSessions(core)
  const codec = handleCodec(ring.derive(keyLabels.refreshHandle))
  const mint = mintAccessToken({ ...config, ...machine, signer: keys.signer })
  const { sessions, accounts, audit } = stores
  const check = anyBearerCheck(core)
  const checkBearer = personBearerCheck(check)
  const authenticate = async (token: string) => callerFrom(await checkBearer(token))
  const acts = { clock, random, codec, mint, sessions, accounts, inTransaction }
  // Of a session that has just been opened: it was authenticated before anything of it was read.
  const issue: LoginRouteDeps['issue'] = (facts, secret) =>
    issueTokens(acts, facts, secret, facts.authenticatedAtMs)
  const sealed = composeSealed(ring, ({ facts, secret }) => issue(facts, secret))
  const limits = composeLimits(core)
  const refresh = composeRefresh(core, acts, limits)
  const cookieCodec = cookies.codec
  const oauth = composeOauth(core, { log, mint, check, refresh, codec, cookieCodec, limits })
  const login = composeLogin(core, {
    cookies,
    sealed,
    issue,
    limits,
    supersede: supersedeSessions({ clock, sessionCodec: cookieCodec, refreshCodec: codec }),
  })
  return {
    authenticate,
    authenticateCookie: cookies.authenticate,
    mayOperate: mayOperateAt(config.issuer),
    authenticateService: oauth.authenticateService,
    warnings: keys.warnings(),
    routes: [
      keys.routes,
      revocationRoutes(core.revocations),
      ...oauth.routes,
      ...login.routes,
      refreshRoutes({ refresh, reference, log, answerSealed: sealed.answer }),
      logoutRoutes({
        endPresented: endPresentedSession(acts),
        endPresentedCookie: cookies.logOut,
        logOut: logOut(acts),
        authenticate,
      }),
      ownSessionRoutes({ ...acts, endOne: endOwnSession(acts), endAll: endOwnSessions(acts) }),
      ...cookies.routes,
      ...composeForwardAuth(core, {
        checkBearer,
        checkCookieSession: cookies.check,
        mint,
        signIn: login.pageParts,
      }),
      accountRoutes({ accounts }),
      adminRoutes({
        ...acts,
        audit,
        create: core.createAccount,
        change: core.changeAccount,
        revoke: core.revoke,
      }),
      adminClientRoutes(core.serviceClients),
      healthOf(core, log),
    ],
  }
}
