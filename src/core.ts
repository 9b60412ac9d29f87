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
 * What the service and the command line share: the stores, the operations on accounts, service clients and keys, and the transactions they
 * write in. The parts are constructed in dependency order. Nothing runs before it is started or opened.
 */

/** What tests replace. */
export type Machine = {
  /** The clock of Postgres. Start it before any decision depends on the time. */
  readonly clock: DatabaseClock
  readonly random: Random
  /** Reports a failure that belongs to no request, such as a broken idle connection or an unreachable Redis. */
  readonly report: (error: unknown, what: string) => void
  /** Reports that such a failure is over. `begun` lists the texts under which it was reported. */
  readonly reportEnd: (what: string, begun: readonly string[]) => void
}

/** Only tests set `clock`. Otherwise the time is that of Postgres, and the wall clock of this machine does not matter. */
export type MachineParts = Omit<Machine, 'clock'> & { readonly clock?: Clock }

/** The stores that an operation may read and write in one transaction. */
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
  /** The service starts it; commands only append to the log. */
  readonly revocations: Revocations
  readonly revocationCache: RevocationCache | undefined
  readonly cookieSessions: CookieSessionUpkeep
  /** The service opens them; commands only change them. */
  readonly keys: SigningKeys
  readonly dataLoss: DataLoss
  readonly hasher: BoundedPasswordHasher
  /** The name of the package that computes argon2. The packages differ in CPU time. */
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
   * Tries once each kind of statement that the service needs, and returns the name of the revocation log.
   * @throws UnfitDatabase when this database cannot serve Cardea; store_unavailable
   */
  readonly assertFit: () => Promise<string>
  /** Throws `store_unavailable` while the reads of the revocation log fail. It uses that known state and sends no query, so it is free. */
  readonly assertDatabaseUp: () => void
  readonly close: () => Promise<void>
}

/** Callbacks for what a transaction writes, called while it runs. */
type Observer = {
  readonly onAppend: (entry: RevocationEntry, reckonedAtMs: number) => void
  readonly onEnd: (sessionIds: readonly string[]) => void
  readonly onRecord: (id: number, atMs: number) => void
}

const ignore = () => undefined

/** Outside of a transaction there is nothing to collect. */
const unobserved: Observer = { onAppend: ignore, onEnd: ignore, onRecord: ignore }

type Makers<Members> = { readonly [Name in keyof Members]: () => Members[Name] }

/** An object whose members are created on first use: most transactions use three of the nine stores. */
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

/** The stores on one connection or on the pool. */
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

/** The connection pool and the clock of the server behind it. */
const openPostgres = (config: Config, url: string, parts: MachineParts) => {
  const database = openDatabase({
    url,
    schema: config.databaseSchema,
    poolSize: config.databasePoolSize,
    connectTimeoutMs: config.databaseConnectTimeoutMs,
    statementTimeoutMs: config.databaseStatementTimeoutMs,
    // Limits how long a stalled process can hold its locks, and how late a revocation in its transaction can commit.
    idleInTransactionTimeoutMs: 5_000,
    preparedStatements: config.databasePreparedStatements,
    onIdleError: (error) => {
      parts.report(storeFailure(error), 'an idle connection to postgres broke')
      // The next connection may lead to another server, so the clock is measured again. If that fails, other parts report it.
      clock.measure().catch(() => undefined)
    },
  })
  const clock = parts.clock
    ? trustedClock(parts.clock)
    : databaseClock({ sql: database, onChange: reportAgreement(parts) })
  return { database, clock }
}

/** Loads the driver only when Redis is configured, because it takes 16 MB. */
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

/** Runs transactions. After the commit it publishes the revocations and the ended sessions of the transaction. */
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
    // Another process may not know the revocation yet. Without the cached session it asks Postgres.
    await Promise.all([revoked.publish(), cookieSessions.invalidator?.drop(ended)])
    return result
  }
}

type ActParts = Pick<Core, 'config' | 'machine' | 'database' | 'stores' | 'inTransaction'> &
  Pick<Core, 'keys' | 'hasher'>

/** The operations that the command line and the routes share. */
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
      // This process must stop signing with a revoked key at once. The others learn of it from the revocation log.
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

/** The replica learns of revoked keys sooner than a reread of the key table would. */
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

/** The revocation log, with its readers and publishers. */
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
