import {
  type AccountStores,
  accountRoutes,
  argon2PasswordHasher,
  boundedPasswordHasher,
  changeAccount,
  createAccount,
  loadArgon2,
  type PasswordHasher,
  postgresAccountStore,
} from './accounts/index.ts'
import { adminRoutes, revoke } from './admin/index.ts'
import { keyedReference, postgresAuditTrail, type Reference } from './audit/index.ts'
import type { Config } from './config/index.ts'
import { healthRoutes } from './health/index.ts'
import type { Caller } from './http/access.ts'
import { type Database, openDatabase, type Sql } from './infra/postgres/database.ts'
import { connectRedis, type RedisConnection } from './infra/redis/redis.ts'
import {
  keyLabels,
  openKeys,
  postgresSigningKeyStore,
  type SecretRing,
  secretRing,
} from './keys/index.ts'
import type { Clock } from './lib/clock.ts'
import type { Random } from './lib/random.ts'
import {
  deviceTokens,
  logIn,
  loginLimitRules,
  loginRoutes,
  memoryLoginLimits,
  redisLoginLimits,
} from './login/index.ts'
import { metadataRoutes } from './oauth/index.ts'
import {
  entryLifetimeMs,
  postgresRevocationLog,
  type Revocation,
  type RevocationMirror,
  redisRevocationMirror,
} from './revocation/index.ts'
import {
  adminScope,
  authenticateBearer,
  endOwnSession,
  endOwnSessions,
  endPresentedSession,
  handleCodec,
  type InTransaction,
  issueTokens,
  logOut,
  logoutRoutes,
  openSession,
  operatorRole,
  ownSessionRoutes,
  postgresSessionStore,
  refreshRoutes,
  refreshSession,
} from './sessions/index.ts'
import type { Stores } from './stores.ts'
import { type AccessTokenClaims, mintAccessToken, verifyAccessToken } from './tokens/index.ts'

/** What a test replaces. */
export type Machine = {
  readonly clock: Clock
  readonly random: Random
  /** Told of failures behind nobody's request: a broken idle connection, a cache that is away. */
  readonly report: (error: unknown, what: string) => void
}

/** What the service and the command line have in common: stores, and the acts that need nothing of HTTP. */
export type Core = {
  readonly machine: Machine
  readonly config: Config
  readonly ring: SecretRing
  readonly database: Database
  readonly redis: RedisConnection | undefined
  readonly mirror: RevocationMirror | undefined
  readonly reference: Reference
  readonly hasher: PasswordHasher
  readonly stores: AccountStores
  readonly inTransaction: InTransaction<AccountStores>
  readonly createAccount: ReturnType<typeof createAccount>
  readonly changeAccount: ReturnType<typeof changeAccount>
  readonly revoke: ReturnType<typeof revoke>
  readonly close: () => Promise<void>
}

const openPool = (config: Config, url: string, { report }: Machine): Database =>
  openDatabase({
    url,
    poolSize: config.databasePoolSize,
    connectTimeoutMs: config.databaseConnectTimeoutMs,
    statementTimeoutMs: config.databaseStatementTimeoutMs,
    preparedStatements: config.databasePreparedStatements,
    onIdleError: (error) => report(error, 'an idle connection to postgres broke'),
  })

const openRedis = (config: Config, { random, report }: Machine): RedisConnection | undefined =>
  config.redisUrl === undefined
    ? undefined
    : connectRedis(config.redisUrl, { random, onError: (error) => report(error, 'redis is away') })

const openHasher = async (config: Config, peppers: readonly string[], { random }: Machine) =>
  boundedPasswordHasher(argon2PasswordHasher({ engine: await loadArgon2(), random, peppers }), {
    concurrency: config.hashConcurrency,
    queue: config.hashQueue,
  })

/** The stores on one connection, or on the pool; `onAppend` learns what was revoked. */
const storesOn =
  (config: Config, { clock }: Machine, reference: Reference) =>
  (sql: Sql, onAppend: (revocation: Revocation) => void): AccountStores => ({
    accounts: postgresAccountStore(sql),
    sessions: postgresSessionStore(sql),
    revocations: postgresRevocationLog(
      sql,
      clock,
      entryLifetimeMs(config.accessTokenSeconds),
      onAppend,
    ),
    audit: postgresAuditTrail(sql, clock, reference),
  })

/** After the commit, so that the cache never says more than the truth; a cache that is away is filled later by the follower. */
const spread = async (
  mirror: RevocationMirror | undefined,
  redis: RedisConnection | undefined,
  entries: readonly Revocation[],
  { report }: Machine,
): Promise<void> => {
  if (!mirror || !redis?.isReady() || entries.length === 0) return
  await mirror
    .write(entries)
    .catch((error: unknown) => report(error, 'revocations were not spread'))
}

export const composeCore = async (
  config: Config,
  opened: Stores,
  machine: Machine,
): Promise<Core> => {
  const ring = secretRing(opened.secrets)
  const [auditKey] = ring.derive(keyLabels.auditReference)
  const reference = keyedReference(auditKey.key)
  const hasher = await openHasher(config, opened.peppers, machine)
  const database = openPool(config, opened.databaseUrl, machine)
  const redis = openRedis(config, machine)
  const mirror = redis && redisRevocationMirror(redis, machine.clock)
  const storesFor = storesOn(config, machine, reference)

  const inTransaction: InTransaction<AccountStores> = async (work) => {
    const revoked: Revocation[] = []
    const result = await database.transaction((sql) =>
      work(storesFor(sql, (revocation) => revoked.push(revocation))),
    )
    await spread(mirror, redis, revoked, machine)
    return result
  }
  const acts = { ...machine, inTransaction }
  const { passwordMinLength } = config
  return {
    machine,
    config,
    ring,
    database,
    redis,
    mirror,
    reference,
    hasher,
    stores: storesFor(database, () => undefined),
    inTransaction,
    createAccount: createAccount({ ...acts, hasher, passwordMinLength }),
    changeAccount: changeAccount(acts),
    revoke: revoke(acts),
    close: async () => {
      await redis?.close()
      await database.close()
    },
  }
}

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

/** The service's routes and what its edge needs to know who calls. */
export const composeService = async (core: Core) => {
  const { config, machine, stores, inTransaction, reference, ring, hasher } = core
  const { clock, random } = machine
  const { issuer, audiences } = config
  const keys = await openKeys({
    store: postgresSigningKeyStore(core.database),
    secrets: ring,
    algorithm: config.signingAlgorithm,
    clock,
    random,
  })
  const codec = handleCodec(ring.derive(keyLabels.refreshHandle))
  const mint = mintAccessToken({ ...config, ...machine, signer: keys.signer })
  const verify = verifyAccessToken({ ...keys, issuer, audiences: [...audiences, issuer], clock })
  const { sessions, accounts, audit } = stores
  const checkBearer = authenticateBearer({ clock, verify, sessions })
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
    warnings: keys.warnings,
    routes: [
      keys.routes,
      metadataRoutes({ issuer }),
      loginRoutes({ logIn: signIn, issue: (facts, secret) => issueTokens(acts, facts, secret) }),
      refreshRoutes({ refresh, reference }),
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
      healthRoutes({ postgres: core.database.ping, redis: core.redis?.ping }),
    ],
  }
}
