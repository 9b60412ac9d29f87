import {
  type AccountStores,
  type BoundedPasswordHasher,
  type ChangeAccount,
  type CreateAccount,
  changeAccount,
  createAccount,
  openPasswordHasher,
  postgresAccountStore,
  type SetPassword,
  setPassword,
} from './accounts/index.ts'
import { type Revoke, revoke } from './admin/index.ts'
import { type AuditPseudonym, auditPseudonym, postgresAuditTrail } from './audit/index.ts'
import type { Config } from './config/index.ts'
import {
  type CookieSessionStore,
  type CookieSessionUpkeep,
  openCookieSessions,
  postgresCookieSessionStore,
  redisSessionCache,
} from './cookie-sessions/index.ts'
import {
  type AfterLoss,
  type CommittedAct,
  type DataLoss,
  newestActs,
  postgresAfterLoss,
  watchForDataLoss,
} from './data-loss.ts'
import { type Database, openDatabase, type Sql } from './infra/postgres/database.ts'
import {
  type DatabaseClock,
  databaseClock,
  reportAgreement,
  trustedClock,
} from './infra/postgres/database-clock.ts'
import { storeErrors, storeFailure } from './infra/postgres/store-failure.ts'
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
import type { InTransaction } from './lib/in-transaction.ts'
import type { Clock, Random } from './lib/machine.ts'
import {
  type AddClientSecret,
  addClientSecret,
  type CreateServiceClient,
  createServiceClient,
  type DisableServiceClient,
  disableServiceClient,
  postgresServiceClientStore,
  type RevokeClientSecret,
  revokeClientSecret,
  type ServiceClientStore,
} from './oauth/index.ts'
import { postgresRotationStore, type RotationStore } from './refresh/index.ts'
import {
  entryLifetimeMs,
  malformedRevocations,
  openRevocations,
  postgresReadLog,
  postgresRevocationLog,
  postgresRevocationNotifier,
  type RevocationCache,
  type RevocationEntry,
  type Revocations,
  redisRevocationCache,
} from './revocation/index.ts'
import { assertFit } from './schema.ts'
import { postgresSessionStore } from './sessions/index.ts'
import type { StoreCredentials } from './store-credentials.ts'

/**
 * What the service and the command line share: the stores, the acts on accounts, service clients and keys, and the transaction in which
 * an act writes. Constructed in the order in which the parts need each other; nothing runs before it is started or opened.
 */

/** What a test replaces. */
export type Machine = {
  /** Postgres's time. To be started before anything is decided by it. */
  readonly clock: DatabaseClock
  readonly random: Random
  /** Told of failures behind nobody's request: a broken idle connection, a cache that is away. */
  readonly report: (error: unknown, what: string) => void
  /** Told that such a failure is over, and by which words it was reported. */
  readonly reportEnd: (what: string, begun: readonly string[]) => void
}

/** `clock` is for tests alone: without it the time is Postgres's, whatever this machine's wall clock says. */
export type MachineParts = Omit<Machine, 'clock'> & { readonly clock?: Clock }

/** What an act on anything here may read and write together. */
export type CoreStores = AccountStores & {
  readonly rotations: RotationStore
  readonly cookieSessions: CookieSessionStore
  readonly signingKeys: SigningKeyTransaction
  readonly clients: ServiceClientStore
  readonly afterLoss: AfterLoss
}

export type Core = {
  readonly config: Config
  readonly machine: Machine
  readonly ring: SecretRing
  readonly pseudonym: AuditPseudonym
  readonly database: Database
  readonly redis: RedisConnection | undefined
  readonly stores: CoreStores
  readonly inTransaction: InTransaction<CoreStores>
  /** Started by the service; commands only add to them. */
  readonly revocations: Revocations
  readonly revocationCache: RevocationCache | undefined
  readonly cookieSessions: CookieSessionUpkeep
  /** Opened by the service; commands only change them. */
  readonly keys: SigningKeys
  readonly dataLoss: DataLoss
  readonly hasher: BoundedPasswordHasher
  /** The package that computes argon2: they differ in CPU time. */
  readonly hashedBy: string
  readonly createAccount: CreateAccount
  readonly changeAccount: ChangeAccount
  readonly setPassword: SetPassword
  readonly revoke: Revoke
  readonly serviceClients: {
    readonly store: ServiceClientStore
    readonly create: CreateServiceClient
    readonly disable: DisableServiceClient
    readonly addSecret: AddClientSecret
    readonly revokeSecret: RevokeClientSecret
  }
  /**
   * Does once what the service does with Postgres, and returns the name of the log of revocations.
   * @throws UnfitDatabase when that cannot work here; store_unavailable
   */
  readonly assertFit: () => Promise<string>
  /** Throws `store_unavailable` while Postgres is known to be away, by the reads of the log. Asks nobody, so it costs nothing. */
  readonly assertDatabaseUp: () => void
  readonly close: () => Promise<void>
}

/** What a transaction reports of itself while it runs. */
type Observer = {
  readonly onAppend: (entry: RevocationEntry, reckonedAtMs: number) => void
  readonly onEnd: (sessionIds: readonly string[]) => void
  readonly onRecord: (id: number, atMs: number) => void
}

const nobody = () => undefined

/** Outside of a transaction nobody is told. */
const unobserved: Observer = { onAppend: nobody, onEnd: nobody, onRecord: nobody }

type Makers<Members> = { readonly [Name in keyof Members]: () => Members[Name] }

/** An object whose members are made when they are first used: most transactions use three of nine stores. */
const lazily = <Members extends object>(makers: Makers<Members>): Members => {
  const members = {} as Members
  for (const name of Object.keys(makers) as (keyof Members)[]) {
    const get = () => {
      const value = makers[name]()
      Object.defineProperty(members, name, { enumerable: true, value })
      return value
    }
    Object.defineProperty(members, name, { enumerable: true, configurable: true, get })
  }
  return members
}

/** The stores on one connection, or on the pool. */
const storesWith = (config: Config, clock: Clock, pseudonym: AuditPseudonym) =>
  function storesOn(sql: Sql, { onAppend, onEnd, onRecord }: Observer): CoreStores {
    const sessionOptions = { tokensLastMs: entryLifetimeMs, settings: config, onEnd }
    return lazily<CoreStores>({
      accounts: () => postgresAccountStore(sql),
      sessions: () => postgresSessionStore(sql, sessionOptions),
      rotations: () => postgresRotationStore(sql),
      cookieSessions: () => postgresCookieSessionStore(sql, config),
      revocations: () => postgresRevocationLog(sql, clock, onAppend),
      audit: () => postgresAuditTrail(sql, clock, pseudonym, onRecord),
      signingKeys: () => postgresSigningKeyTransaction(sql),
      clients: () => postgresServiceClientStore(sql),
      afterLoss: () => postgresAfterLoss(sql),
    })
  }

/** The pool, and the time of the server behind it. */
const openPostgres = (config: Config, url: string, parts: MachineParts) => {
  const database = openDatabase({
    url,
    schema: config.databaseSchema,
    poolSize: config.databasePoolSize,
    connectTimeoutMs: config.databaseConnectTimeoutMs,
    statementTimeoutMs: config.databaseStatementTimeoutMs,
    // A process that stands still in a transaction keeps no locks from the others for longer, and what it revokes comes no later.
    idleInTransactionTimeoutMs: 5_000,
    preparedStatements: config.databasePreparedStatements,
    onIdleError: (error) => {
      parts.report(storeFailure(error), 'an idle connection to postgres broke')
      // The next connection may lead to another server. If none answers, others report that.
      clock.measure().catch(() => undefined)
    },
  })
  const clock = parts.clock
    ? trustedClock(parts.clock)
    : databaseClock({ sql: database, onChange: reportAgreement(parts) })
  return { database, clock }
}

/** The driver is loaded only where there is a Redis: it takes 16 MB. */
const openRedis = async (config: Config, parts: MachineParts) => {
  const { redisUrl, redisSentinelUsername: username, redisSentinelPassword: password } = config
  if (redisUrl === undefined) return undefined
  const { connectRedis, redisOutageReports } = await import('./infra/redis/redis.ts')
  return connectRedis(redisUrl, {
    random: parts.random,
    commandTimeoutMs: config.redisTimeoutMs,
    ...(password !== undefined && { sentinel: { username, password } }),
    ...redisOutageReports(parts),
  })
}

const databaseAway = () => storeErrors.error('store_unavailable', { retryAfterSeconds: 1 })

type TransactionParts = Pick<Core, 'database' | 'revocations' | 'cookieSessions'> & {
  readonly storesOn: (sql: Sql, observer: Observer) => CoreStores
  readonly onCommitted: (acts: readonly CommittedAct[]) => void
}

/** Transactions that publish, after their commit, what was revoked and which sessions have ended in them. */
const transactionsOn = (parts: TransactionParts): InTransaction<CoreStores> => {
  const { database, revocations, cookieSessions, storesOn, onCommitted } = parts
  return async function inTransaction(work) {
    const revoked = revocations.collect()
    const ended: string[] = []
    const recorded: CommittedAct[] = []
    const observer: Observer = {
      onAppend: revoked.add,
      onEnd: (sessionIds) => ended.push(...sessionIds),
      onRecord: (id, atMs) => recorded.push({ id, atMs }),
    }
    const result = await database.transaction(async (sql) => {
      const done = await work(storesOn(sql, observer))
      if (!revoked.mayCommit()) throw databaseAway()
      return done
    })
    onCommitted(recorded)
    // Another process may not have heard of the revocation yet; without the cached session it asks Postgres.
    await Promise.all([revoked.publish(), cookieSessions.invalidator?.drop(ended)])
    return result
  }
}

type ActParts = Pick<Core, 'config' | 'machine' | 'database' | 'stores' | 'inTransaction'> &
  Pick<Core, 'keys' | 'hasher'>

/** What people at a terminal, operators and routes do alike. */
const actsWith = (parts: ActParts) => {
  const { config, machine, database, stores, inTransaction, keys, hasher } = parts
  const { clock, random, report } = machine
  const { passwordMinLength, audiences } = config
  return {
    createAccount: createAccount({ clock, random, inTransaction, hasher, passwordMinLength }),
    changeAccount: changeAccount({ clock, inTransaction }),
    setPassword: setPassword({
      clock,
      inTransaction,
      hasher,
      passwordMinLength,
      accounts: stores.accounts,
    }),
    revoke: revoke({
      clock,
      inTransaction,
      withdrawKey: keys.withdraw,
      // A key that was revoked here signs nothing more; the others learn of it by its entry in the log.
      onKeyRevoked: () =>
        keys.reread().catch((error: unknown) => report(error, 'the signing keys were not read')),
    }),
    serviceClients: {
      store: postgresServiceClientStore(database),
      create: createServiceClient({ clock, random, inTransaction, audiences }),
      disable: disableServiceClient({ clock, inTransaction }),
      addSecret: addClientSecret({ clock, random, inTransaction }),
      revokeSecret: revokeClientSecret({ clock, inTransaction }),
    },
  }
}

type KeyParts = Pick<Core, 'config' | 'machine' | 'ring' | 'database' | 'inTransaction'>

/** What the replica knows of revoked keys is known faster than by reading the keys again. */
const openSigningKeys = (parts: KeyParts, { replica }: Revocations): SigningKeys => {
  const { config, machine, ring, database, inTransaction } = parts
  return signingKeys({
    clock: machine.clock,
    random: machine.random,
    inTransaction,
    secrets: ring,
    store: postgresSigningKeyStore(database),
    algorithm: config.signingAlgorithm,
    rotationMs: config.signingKeyRotationSeconds * 1000,
    isRevoked: replica.isKeyRevoked,
  })
}

/** The log of revocations, and what follows and publishes it. */
const openRevocationsOn = (
  { config, database, machine }: Pick<Core, 'config' | 'database' | 'machine'>,
  url: string,
  cache: RevocationCache | undefined,
) => {
  const { clock, random, report } = machine
  const log = postgresReadLog(database, clock, (rows) =>
    report(malformedRevocations(rows), 'rows of `revocations` are malformed'),
  )
  const schema = config.databaseSchema
  const notifier = postgresRevocationNotifier({ random, report, sql: database, url, schema })
  return { log, revocations: openRevocations({ clock, random, report, log, notifier, cache }) }
}

export async function openCore(
  config: Config,
  credentials: StoreCredentials,
  parts: MachineParts,
): Promise<Core> {
  const { random, report, reportEnd } = parts
  const { databaseUrl: url, peppers } = credentials
  const { hashConcurrency: concurrency, hashQueue: queue } = config
  const ring = secretRing(credentials.secrets)
  const pseudonym = auditPseudonym(ring.derive(keyLabels.auditReference)[0].key)
  const { hasher, hashedBy } = await openPasswordHasher({ random, peppers, concurrency, queue })
  const { database, clock } = openPostgres(config, url, parts)
  const machine: Machine = { clock, random, report, reportEnd }
  const redis = await openRedis(config, parts)
  const revocationCache = redis && redisRevocationCache(redis, { clock, random })
  const { log, revocations } = openRevocationsOn(
    { config, database, machine },
    url,
    revocationCache,
  )
  const cookieSessions = openCookieSessions({
    clock,
    report,
    store: postgresCookieSessionStore(database, config),
    cache: redis && redisSessionCache(redis, ring.derive(keyLabels.sessionCopy)),
    idleSeconds: config.sessionIdleSeconds,
  })
  const storesOn = storesWith(config, clock, pseudonym)
  const stores = storesOn(database, unobserved)
  const { add: onCommitted, list: ownActs } = newestActs()
  const transactionParts = { database, revocations, cookieSessions, storesOn, onCommitted }
  const inTransaction = transactionsOn(transactionParts)
  const keys = openSigningKeys({ config, machine, ring, database, inTransaction }, revocations)
  const dataLoss = watchForDataLoss({
    clock,
    report,
    revocations,
    keys,
    inTransaction,
    ownActs,
    afterLoss: stores.afterLoss,
    revokesEveryone: config.revokeOnDataLoss,
  })
  return {
    config,
    machine,
    ring,
    pseudonym,
    database,
    redis,
    stores,
    inTransaction,
    revocations,
    revocationCache,
    cookieSessions,
    keys,
    dataLoss,
    hasher,
    hashedBy,
    ...actsWith({ config, machine, database, stores, inTransaction, keys, hasher }),
    assertFit: () => assertFit(database, log),
    assertDatabaseUp: () => {
      if (!revocations.isLogReadable()) throw databaseAway()
    },
    close: async () => {
      await revocations.close()
      await redis?.close()
      await database.close()
    },
  }
}
