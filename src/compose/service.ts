import { accountRoutes } from '../accounts/index.ts'
import { adminRoutes } from '../admin/index.ts'
import { healthRoutes } from '../health/index.ts'
import type { Caller } from '../http/access.ts'
import type { Log } from '../http/log.ts'
import { keyLabels, type SigningKeys } from '../keys/index.ts'
import {
  deviceTokens,
  logIn,
  loginLimitRules,
  loginRoutes,
  memoryLoginLimits,
  redisLoginLimits,
} from '../login/index.ts'
import {
  authenticateServiceClient,
  introspectRoutes,
  introspectToken,
  metadataRoutes,
} from '../oauth/index.ts'
import { bearerCheck, revocationRoutes } from '../revocation/index.ts'
import {
  adminScope,
  endOwnSession,
  endOwnSessions,
  endPresentedSession,
  handleCodec,
  issueTokens,
  logOut,
  logoutRoutes,
  openSession,
  operatorRole,
  ownSessionRoutes,
  refreshRoutes,
  refreshSession,
} from '../sessions/index.ts'
import { type AccessTokenClaims, mintAccessToken } from '../tokens/index.ts'
import type { Core } from './core.ts'

const limitsFor = ({ config, machine, redis, ring }: Core) => {
  const [identifierKey] = ring.derive(keyLabels.limitIdentifier)
  const options = {
    clock: machine.clock,
    identifierKey: identifierKey.key,
    rules: loginLimitRules({
      perSource: config.loginFailuresPerSource,
      perNetwork: config.loginFailuresPerNetwork,
      global: config.loginFailuresGlobal,
    }),
    onError: (error: unknown) => machine.report(error, 'limits are counted in this process'),
  }
  return redis ? redisLoginLimits({ ...options, client: redis.client }) : memoryLoginLimits(options)
}

const callerFrom = (claims: AccessTokenClaims): Caller => ({
  accountId: claims.sub,
  sessionId: claims.sid,
  tokenId: claims.jti,
  roles: claims.roles,
  scopes: claims.scope.split(' '),
  audience: typeof claims.aud === 'string' ? [claims.aud] : claims.aud,
})

/** A refusal after a refresh token was consumed would end in a retry that looks like theft: whether there is a key to sign with comes first. */
const onceReadyToSign =
  <Input, Output>({ readyToSign }: SigningKeys, act: (input: Input) => Promise<Output>) =>
  async (input: Input): Promise<Output> => {
    await readyToSign()
    return act(input)
  }

/** For every audience that this issuer mints tokens for. */
const ownBearerCheck = ({ config, machine, stores, keys, revocations }: Core) =>
  bearerCheck({
    ...machine,
    issuer: config.issuer,
    audiences: [...config.audiences, config.issuer],
    verificationKey: keys.verificationKey,
    replica: revocations.replica,
    stands: stores.sessions.stands,
  })

const healthOf = ({ database, redis, revocations }: Core) =>
  healthRoutes({
    postgres: database.ping,
    redis: redis?.ping,
    knowsRevocations: () => revocations.replica.state() !== 'LOADING',
  })

/** The service's routes and what its edge needs to know who calls. */
export const composeService = async (core: Core, log: Log) => {
  const { config, machine, stores, inTransaction, reference, ring, hasher, keys } = core
  const { clock, random } = machine
  const { issuer, audiences } = config
  await keys.open()
  const codec = handleCodec(ring.derive(keyLabels.refreshHandle))
  const mint = mintAccessToken({ ...config, ...machine, signer: keys.signer })
  const { sessions, accounts, audit } = stores
  const checkBearer = ownBearerCheck(core)
  const authenticate = async (token: string) => callerFrom(await checkBearer(token))
  const acts = { clock, random, codec, mint, sessions, accounts, inTransaction }
  const refresh = refreshSession({
    ...acts,
    graceSeconds: config.refreshGraceSeconds,
    idleSeconds: config.sessionIdleSeconds,
  })
  const signIn = logIn({
    ...acts,
    hasher,
    issuer,
    audiences,
    limits: limitsFor(core),
    devices: deviceTokens(ring.derive(keyLabels.device), random, clock),
    open: openSession(random, {
      idleSeconds: config.sessionIdleSeconds,
      absoluteSeconds: config.sessionAbsoluteSeconds,
      perAccount: config.sessionsPerAccount,
    }),
  })
  return {
    authenticate,
    /** Not with a token meant for another service: that service could have kept it. */
    mayOperate: ({ roles, scopes, audience }: Caller) =>
      roles.includes(operatorRole) && scopes.includes(adminScope) && audience.includes(issuer),
    authenticateService: authenticateServiceClient({ clock, clients: core.serviceClients.store }),
    warnings: keys.warnings(),
    routes: [
      keys.routes,
      metadataRoutes({ issuer }),
      revocationRoutes(core.revocations),
      introspectRoutes({ introspect: introspectToken({ clock, check: checkBearer }) }),
      loginRoutes({
        logIn: onceReadyToSign(keys, signIn),
        issue: (facts, secret) => issueTokens(acts, facts, secret),
      }),
      refreshRoutes({ refresh: onceReadyToSign(keys, refresh), reference, log }),
      logoutRoutes({ endPresented: endPresentedSession(acts), logOut: logOut(acts), authenticate }),
      ownSessionRoutes({ ...acts, endOne: endOwnSession(acts), endAll: endOwnSessions(acts) }),
      accountRoutes({ accounts }),
      adminRoutes({
        ...acts,
        audit,
        create: core.createAccount,
        change: core.changeAccount,
        revoke: core.revoke,
      }),
      healthOf(core),
    ],
  }
}
