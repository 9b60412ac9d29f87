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
import type { Log } from './http/log.ts'
import { type Database, openDatabase, type Sql } from './infra/postgres/database.ts'
import type { RedisConnection } from './infra/redis/redis.ts'
import {
  keyLabels,
  postgresSigningKeyStore,
  postgresSigningKeyTransaction,
  type SecretRing,
  type SigningKeys,
  type SigningKeyTransaction,
  secretRing,
  signingKeys,
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
import {
  authenticateServiceClient,
  createServiceClient,
  disableServiceClient,
  introspectRoutes,
  introspectToken,
  metadataRoutes,
  postgresServiceClientStore,
  type ServiceClientStore,
  type ServiceClientStores,
} from './oauth/index.ts'
import {
  bearerCheck,
  entryLifetimeMs,
  openRevocations,
  postgresReadLog,
  postgresRevocationLog,
  postgresRevocationNotices,
  type RevocationEntry,
  type RevocationMirror,
  type Revocations,
  redisRevocationMirror,
  revocationRoutes,
} from './revocation/index.ts'
import {
  adminScope,
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
import { type AccessTokenClaims, mintAccessToken } from './tokens/index.ts'

/** What a test replaces. */
export type Machine = {
  readonly clock: Clock
  readonly random: Random
  /** Told of failures behind nobody's request: a broken idle connection, a cache that is away. */
  readonly report: (error: unknown, what: string) => void
}

/** What an act on anything here may read and write together. */
type CoreStores = AccountStores & { readonly signingKeys: SigningKeyTransaction }

type KeyParts = Pick<Core, 'config' | 'machine' | 'ring' | 'database' | 'inTransaction'>

/** What the service and the command line have in common: stores, and the acts that need nothing of HTTP. */
export type Core = {
  readonly machine: Machine
  readonly config: Config
  readonly ring: SecretRing
  readonly database: Database
  readonly redis: RedisConnection | undefined
  readonly mirror: RevocationMirror | undefined
  /** Started by the service; commands only add to them. */
  readonly revocations: Revocations
  readonly reference: Reference
  readonly hasher: PasswordHasher
  readonly stores: AccountStores
  readonly inTransaction: InTransaction<CoreStores>
  /** Opened by the service; commands only change them. */
  readonly keys: SigningKeys
  readonly createAccount: ReturnType<typeof createAccount>
  readonly changeAccount: ReturnType<typeof changeAccount>
  readonly revoke: ReturnType<typeof revoke>
  readonly serviceClients: {
    readonly store: ServiceClientStore
    readonly create: ReturnType<typeof createServiceClient>
    readonly disable: ReturnType<typeof disableServiceClient>
  }
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

/** The driver is loaded only where there is a Redis: it takes 16 MB. */
const openRedis = async (
  { redisUrl }: Config,
  { random, report }: Machine,
): Promise<RedisConnection | undefined> => {
  if (redisUrl === undefined) return undefined
  const { connectRedis } = await import('./infra/redis/redis.ts')
  return connectRedis(redisUrl, { random, onError: (error) => report(error, 'redis is away') })
}

const openHasher = async (config: Config, peppers: readonly string[], { random }: Machine) =>
  boundedPasswordHasher(argon2PasswordHasher({ engine: await loadArgon2(), random, peppers }), {
    concurrency: config.hashConcurrency,
    queue: config.hashQueue,
  })

/** The stores on one connection, or on the pool; `onAppend` learns what was revoked. */
const storesOn =
  (config: Config, { clock }: Machine, reference: Reference) =>
  (sql: Sql, onAppend: (entry: RevocationEntry) => void): CoreStores => ({
    accounts: postgresAccountStore(sql),
    sessions: postgresSessionStore(sql),
    revocations: postgresRevocationLog(
      sql,
      clock,
      entryLifetimeMs(config.accessTokenSeconds),
      onAppend,
    ),
    audit: postgresAuditTrail(sql, clock, reference),
    signingKeys: postgresSigningKeyTransaction(sql),
  })

/** `isRevoked` is what this process knows faster than by reading the keys again. */
const openableKeys = (
  { config, machine, ring, database, inTransaction }: KeyParts,
  isRevoked: (kid: string) => boolean,
): SigningKeys =>
  signingKeys({
    ...machine,
    store: postgresSigningKeyStore(database),
    inTransaction,
    secrets: ring,
    algorithm: config.signingAlgorithm,
    rotationMs: config.signingKeyRotationSeconds * 1000,
    isRevoked,
  })

/** A key that was revoked here signs nothing more; the others learn of it by its entry in the log. */
const revokeWith = (
  acts: Omit<Parameters<typeof revoke>[0], 'withdrawKey' | 'onKeyRevoked'>,
  keys: SigningKeys,
  { report }: Machine,
) =>
  revoke({
    ...acts,
    withdrawKey: keys.withdraw,
    onKeyRevoked: () =>
      keys.reread().catch((error: unknown) => report(error, 'the signing keys were not read')),
  })

const serviceClientsOn = (database: Database, machine: Machine, reference: Reference) => {
  const inTransaction: InTransaction<ServiceClientStores> = (work) =>
    database.transaction((sql) =>
      work({
        clients: postgresServiceClientStore(sql),
        audit: postgresAuditTrail(sql, machine.clock, reference),
      }),
    )
  const acts = { ...machine, inTransaction }
  return {
    store: postgresServiceClientStore(database),
    create: createServiceClient(acts),
    disable: disableServiceClient(acts),
  }
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
  const redis = await openRedis(config, machine)
  const mirror = redis && redisRevocationMirror(redis, machine.clock)
  const revocations = openRevocations({
    ...machine,
    log: postgresReadLog(database, machine.clock),
    notices: postgresRevocationNotices({
      ...machine,
      sql: database,
      url: opened.databaseUrl,
      connectTimeoutMs: config.databaseConnectTimeoutMs,
    }),
    mirror,
  })
  const storesFor = storesOn(config, machine, reference)

  const inTransaction: InTransaction<CoreStores> = async (work) => {
    const revoked: RevocationEntry[] = []
    const result = await database.transaction((sql) =>
      work(storesFor(sql, (entry) => revoked.push(entry))),
    )
    await revocations.spread(revoked)
    return result
  }
  const acts = { ...machine, inTransaction }
  const { passwordMinLength } = config
  const { isKeyRevoked } = revocations.replica
  const keys = openableKeys({ config, machine, ring, database, inTransaction }, isKeyRevoked)
  return {
    machine,
    config,
    ring,
    database,
    redis,
    mirror,
    revocations,
    reference,
    hasher,
    stores: storesFor(database, () => undefined),
    inTransaction,
    keys,
    createAccount: createAccount({ ...acts, hasher, passwordMinLength }),
    changeAccount: changeAccount(acts),
    revoke: revokeWith(acts, keys, machine),
    serviceClients: serviceClientsOn(database, machine, reference),
    close: async () => {
      await revocations.close()
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
