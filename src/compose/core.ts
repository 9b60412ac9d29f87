import {
  type AccountStores,
  argon2PasswordHasher,
  type BoundedPasswordHasher,
  boundedPasswordHasher,
  changeAccount,
  createAccount,
  loadArgon2,
  setPassword,
} from '../accounts/index.ts'
import { revoke } from '../admin/index.ts'
import { keyedReference, type Reference } from '../audit/index.ts'
import type { Config } from '../config/index.ts'
import { type Database, openDatabase } from '../infra/postgres/database.ts'
import {
  type DatabaseClock,
  databaseClock,
  reportAgreement,
  trustedClock,
} from '../infra/postgres/database-clock.ts'
import { storeErrors, storeFailure } from '../infra/postgres/store-failure.ts'
import type { RedisConnection } from '../infra/redis/redis.ts'
import {
  keyLabels,
  postgresSigningKeyStore,
  type SecretRing,
  type SigningKeys,
  secretRing,
  signingKeys,
} from '../keys/index.ts'
import type { Clock } from '../lib/clock.ts'
import type { Random } from '../lib/random.ts'
import {
  addClientSecret,
  createServiceClient,
  disableServiceClient,
  postgresServiceClientStore,
  revokeClientSecret,
  type ServiceClientStore,
} from '../oauth/index.ts'
import {
  malformedRevocations,
  openRevocations,
  postgresReadLog,
  postgresRevocationNotices,
  type RevocationMirror,
  type Revocations,
  redisRevocationMirror,
} from '../revocation/index.ts'
import {
  type InTransaction,
  postgresCookieSessionStore,
  redisSessionCopies,
} from '../sessions/index.ts'
import type { Stores } from '../stores.ts'
import { type CoreStores, storesOn, transactionsOver } from './core-stores.ts'
import { type DataLoss, newestActs, watchForDataLoss } from './data-loss.ts'
import { composeUpkeep, type SessionUpkeep } from './session-upkeep.ts'

/** What a test replaces. */
export type Machine = {
  /** Postgres's time. */
  readonly clock: Clock
  readonly random: Random
  /** Told of failures behind nobody's request: a broken idle connection, a cache that is away. */
  readonly report: (error: unknown, what: string) => void
  /** Told that such a failure is over. */
  readonly reportEnd: (what: string) => void
}

/** `clock` is for tests alone: without it the time is Postgres's, whatever this machine's wall clock says. */
export type MachineParts = Omit<Machine, 'clock'> & Partial<Pick<Machine, 'clock'>>

type KeyParts = Pick<Core, 'config' | 'machine' | 'ring' | 'database' | 'inTransaction'>

/** What the service and the command line have in common: stores, and the acts that need nothing of HTTP. */
export type Core = {
  readonly machine: Machine
  /** `machine.clock`, and what keeps it right. To be started before anything is decided by time. */
  readonly time: DatabaseClock
  readonly config: Config
  readonly ring: SecretRing
  readonly database: Database
  readonly redis: RedisConnection | undefined
  readonly mirror: RevocationMirror | undefined
  /** Started by the service; commands only add to them. */
  readonly revocations: Revocations
  /** Throws `store_unavailable` while Postgres is known to be away, by the reads of the log. Asks nobody, so it costs nothing. */
  readonly demandPostgres: () => void
  readonly reference: Reference
  readonly hasher: BoundedPasswordHasher
  /** The package that computes argon2: they differ in CPU time. */
  readonly hashedBy: string
  readonly stores: AccountStores
  readonly inTransaction: InTransaction<CoreStores>
  readonly cookieSessions: SessionUpkeep
  readonly dataLoss: DataLoss
  /** Opened by the service; commands only change them. */
  readonly keys: SigningKeys
  readonly createAccount: ReturnType<typeof createAccount>
  readonly changeAccount: ReturnType<typeof changeAccount>
  readonly setPassword: ReturnType<typeof setPassword>
  readonly revoke: ReturnType<typeof revoke>
  readonly serviceClients: {
    readonly store: ServiceClientStore
    readonly create: ReturnType<typeof createServiceClient>
    readonly disable: ReturnType<typeof disableServiceClient>
    readonly addSecret: ReturnType<typeof addClientSecret>
    readonly revokeSecret: ReturnType<typeof revokeClientSecret>
  }
  readonly close: () => Promise<void>
}

/**
 * For an instance that stands still between two statements of a transaction: it keeps no locks from the others for longer, and what it
 * revokes comes no later (`core-stores.ts`).
 */
const idleInTransactionTimeoutMs = 5_000

/** The pool, and the machine with the time of the server behind it. */
const openPostgres = (config: Config, url: string, given: MachineParts) => {
  const database = openDatabase({
    url,
    poolSize: config.databasePoolSize,
    connectTimeoutMs: config.databaseConnectTimeoutMs,
    statementTimeoutMs: config.databaseStatementTimeoutMs,
    idleInTransactionTimeoutMs,
    preparedStatements: config.databasePreparedStatements,
    onIdleError: (error) => {
      given.report(storeFailure(error), 'an idle connection to postgres broke')
      // The next connection may lead to another server. If none answers, others report that.
      time.measure().catch(() => undefined)
    },
  })
  const onChange = reportAgreement(given)
  const time = given.clock ? trustedClock(given.clock) : databaseClock({ sql: database, onChange })
  return { database, machine: { ...given, clock: time } }
}

/** The driver is loaded only where there is a Redis: it takes 16 MB. */
const openRedis = async (
  { redisUrl }: Config,
  { random, report, reportEnd }: MachineParts,
): Promise<RedisConnection | undefined> => {
  if (redisUrl === undefined) return undefined
  const { connectRedis } = await import('../infra/redis/redis.ts')
  return connectRedis(redisUrl, {
    random,
    onError: (error) => report(error, 'redis is away'),
    onRecovery: () => reportEnd('redis answers again'),
  })
}

const openHasher = async (config: Config, peppers: readonly string[], { random }: MachineParts) => {
  const engine = await loadArgon2()
  const { hashConcurrency: concurrency, hashQueue: queue } = config
  const unbounded = argon2PasswordHasher({ engine, random, peppers })
  return {
    hasher: boundedPasswordHasher(unbounded, { concurrency, queue }),
    hashedBy: engine.name,
  }
}

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

/** Of what is done outside of a transaction nobody else is told. */
const unheard = {
  onAppend: () => undefined,
  onEnd: () => undefined,
  onRecord: () => undefined,
}

type RevocationParts = Pick<Core, 'machine' | 'database' | 'mirror'> & {
  readonly opened: Stores
}

const revocationsOver = ({ opened, machine, database, mirror }: RevocationParts) =>
  openRevocations({
    ...machine,
    log: postgresReadLog(database, machine.clock, (rows) =>
      machine.report(malformedRevocations(rows), 'rows of `revocations` are malformed'),
    ),
    notices: postgresRevocationNotices({
      ...machine,
      sql: database,
      url: opened.databaseUrl,
    }),
    mirror,
  })

const demandPostgres =
  ({ isLogReadable }: Revocations) =>
  (): void => {
    if (!isLogReadable()) throw storeErrors.error('store_unavailable', { retryAfterSeconds: 1 })
  }

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

const serviceClientsOn = ({
  config,
  machine,
  database,
  inTransaction,
}: Omit<KeyParts, 'ring'>): Core['serviceClients'] => {
  const acts = { ...machine, inTransaction }
  return {
    store: postgresServiceClientStore(database),
    create: createServiceClient({ ...acts, audiences: config.audiences }),
    disable: disableServiceClient(acts),
    addSecret: addClientSecret(acts),
    revokeSecret: revokeClientSecret(acts),
  }
}

export const composeCore = async (
  config: Config,
  opened: Stores,
  given: MachineParts,
): Promise<Core> => {
  const ring = secretRing(opened.secrets)
  const [auditKey] = ring.derive(keyLabels.auditReference)
  const reference = keyedReference(auditKey.key)
  const { hasher, hashedBy } = await openHasher(config, opened.peppers, given)
  const { database, machine } = openPostgres(config, opened.databaseUrl, given)
  const redis = await openRedis(config, given)
  const mirror = redis && redisRevocationMirror(redis, machine)
  const revocations = revocationsOver({ opened, machine, database, mirror })
  const ownActs = newestActs()
  const storesFor = storesOn(machine.clock, reference)
  const cookieSessions = composeUpkeep({
    ...machine,
    store: postgresCookieSessionStore(database),
    copies: redis && redisSessionCopies(redis, ring.derive(keyLabels.sessionCopy)),
    idleSeconds: config.sessionIdleSeconds,
  })

  const inTransaction = transactionsOver({
    clock: machine.clock,
    database,
    storesFor,
    revocations,
    keeper: cookieSessions.keeper,
    onCommitted: ownActs.add,
  })
  const acts = { ...machine, inTransaction }
  const stores = storesFor(database, unheard)
  const passwords = { hasher, passwordMinLength: config.passwordMinLength }
  const { isKeyRevoked } = revocations.replica
  const keys = openableKeys({ config, machine, ring, database, inTransaction }, isKeyRevoked)
  return {
    machine,
    time: machine.clock,
    config,
    ring,
    database,
    redis,
    mirror,
    revocations,
    demandPostgres: demandPostgres(revocations),
    reference,
    hasher,
    hashedBy,
    stores,
    inTransaction,
    cookieSessions,
    dataLoss: watchForDataLoss({
      ...acts,
      revocations,
      afterLoss: stores.afterLoss,
      ownActs: ownActs.list,
      revokesEveryone: config.revokeOnDataLoss,
    }),
    keys,
    createAccount: createAccount({ ...acts, ...passwords }),
    changeAccount: changeAccount(acts),
    setPassword: setPassword({ ...acts, ...passwords, accounts: stores.accounts }),
    revoke: revokeWith(acts, keys, machine),
    serviceClients: serviceClientsOn({ config, machine, database, inTransaction }),
    close: async () => {
      await revocations.close()
      await redis?.close()
      await database.close()
    },
  }
}
