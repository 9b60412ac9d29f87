import type { Config } from './config/index.ts'
import { awaitPrimary } from './infra/postgres/await-primary.ts'
import { buildIndexes } from './infra/postgres/build-indexes.ts'
import { type Database, openDatabase, type Sql } from './infra/postgres/database.ts'
import {
  migrate,
  ownRelations,
  pendingMigrations,
  validateConstraints,
} from './infra/postgres/migrate.ts'
import { assertUnguarded, ensureSchema } from './infra/postgres/own-schema.ts'
import { UnfitDatabase, unfitIfWithheld } from './infra/postgres/session-settings.ts'
import { fractionOf, systemClock, systemRandom } from './lib/machine.ts'
import type { PostgresReadLog } from './revocation/index.ts'
import type { StoreCredentials } from './store-credentials.ts'

/** What acts call besides writing rows: a revocation takes a transaction number and locks, and notifies the others. */
const callAll = {
  name: 'fitness_call_all',
  text: `SELECT clock_timestamp(), pg_current_xact_id(), pg_advisory_xact_lock(hashtextextended('cardea fitness', 0)),
    pg_notify('cardea_fitness', '')`,
}

/** Ends a transaction that only tried something: nothing is changed, and nobody is notified. */
class Tried extends Error {
  override readonly name = 'Tried'
}

const tryAll = async (database: Database): Promise<void> => {
  try {
    await database.transaction(async (sql) => {
      await sql.query(callAll)
      throw new Tried()
    })
  } catch (error) {
    if (!(error instanceof Tried)) throw unfitIfWithheld(error)
  }
}

/**
 * Does everything once that the service does with Postgres beyond reading and writing rows. A start fails here, and `doctor` says why,
 * instead of a service whose feed fails for ever on a Postgres that withholds a function.
 * @returns the name of the log of revocations
 * @throws UnfitDatabase, store_unavailable
 */
export const assertFit = async (
  database: Database,
  log: Pick<PostgresReadLog, 'identify'>,
): Promise<string> => {
  await assertUnguarded(database, await ownRelations())
  await tryAll(database)
  return await log.identify()
}

/** A back-up takes longer than this only where there is time to run `cardea migrate` again. */
const migrationPatienceMs = 10 * 60_000

/** A start does not wait for a back-up to end before it builds an index that it can do without. */
const indexPatienceMs = 5_000

const whoAmI = { name: 'who_am_i', text: 'SELECT current_user AS role' }

const roleOn = async (sql: Sql): Promise<string> => {
  const [row] = await sql.query<{ role: string }>(whoAmI)
  if (!row) throw new TypeError('a connection without a role')
  return row.role
}

/** For a start and for commands, where nobody waits for a response: whatever Postgres is asked may take as long as the start itself. */
export const patientConfig = (config: Config): Config => {
  const patienceMs = config.databaseStartTimeoutSeconds * 1000
  return {
    ...config,
    databaseConnectTimeoutMs: patienceMs,
    databaseStatementTimeoutMs: Math.max(patienceMs, config.databaseStatementTimeoutMs),
  }
}

/** Told what a start or a command waits for. */
export type OnWait = (text: string) => void

/**
 * Waits until Postgres takes connections.
 * @throws store_unavailable
 */
export const awaitDatabase = (
  config: Config,
  url: string,
  onWait: OnWait,
  signal?: AbortSignal,
): Promise<void> =>
  awaitPrimary({
    signal,
    url,
    schema: config.databaseSchema,
    patienceMs: config.databaseStartTimeoutSeconds * 1000,
    clock: systemClock,
    onWait: (why) =>
      onWait(`waiting up to ${config.databaseStartTimeoutSeconds} s for Postgres at ${why}`),
  })

const openFor = (config: Config, url: string): Database =>
  openDatabase({
    url,
    schema: config.databaseSchema,
    // One of them watches who holds the other up while a migration waits for a lock.
    poolSize: 2,
    connectTimeoutMs: patientConfig(config).databaseConnectTimeoutMs,
    statementTimeoutMs: 0,
    preparedStatements: false,
    onIdleError: () => undefined,
  })

/** Lets `act` work with the role that owns the tables. */
export const withOwner = async <T>(
  config: Config,
  stores: Pick<StoreCredentials, 'migrateUrl'>,
  act: (owner: Database) => Promise<T>,
): Promise<T> => {
  const owner = openFor(config, stores.migrateUrl)
  try {
    return await act(owner)
  } finally {
    await owner.close()
  }
}

/** SQLSTATE insufficient_privilege. */
const isDenied = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '42501'

/**
 * Whether this version can work on the schema. A role that may not even read the list of migrations was named after they ran:
 * migrating again grants it what it needs.
 * @throws MigrationMismatch, UnfitDatabase, store_unavailable
 */
export const isSchemaCurrent = async (sql: Sql): Promise<boolean> => {
  try {
    return (await pendingMigrations(sql)).length === 0
  } catch (error) {
    if (isDenied(error)) return false
    throw error
  }
}

/** Whether there is something to migrate, asked with the application's role, and the name of that role. */
const askDatabase = async (config: Config, stores: StoreCredentials) => {
  const app = openFor(config, stores.databaseUrl)
  try {
    return { isCurrent: await isSchemaCurrent(app), role: await roleOn(app) }
  } finally {
    await app.close()
  }
}

/**
 * Two addresses may lead to two places: another database, or another schema.
 * @throws UnfitDatabase
 */
const assertSameTables = async (config: Config, stores: StoreCredentials): Promise<void> => {
  if ((await askDatabase(config, stores)).isCurrent) return
  throw new UnfitDatabase(
    'the role of DATABASE_URL does not find the tables that MIGRATE_DATABASE_URL leads to',
    'let both URLs name the same database, and set DATABASE_SCHEMA if the roles have different search paths',
  )
}

/**
 * Brings the database up to this version if it is not, as soon as Postgres takes connections. A role that may not create tables is enough
 * when nothing is left to do, so the service can start without the owner's credentials after a separate migration.
 * @param onWait told of Postgres, and of other sessions, that are waited for
 * @param signal ends the waiting for Postgres; its reason is thrown
 * @returns the names of the migrations that ran
 * @throws MigrationMismatch, MigrationBlocked, UnfitDatabase, store_unavailable
 */
export const prepareSchema = async (
  config: Config,
  stores: StoreCredentials,
  onWait: OnWait = () => undefined,
  signal?: AbortSignal,
): Promise<string[]> => {
  await awaitDatabase(config, stores.databaseUrl, onWait, signal)
  const { isCurrent, role } = await askDatabase(config, stores)
  if (isCurrent) return []
  await awaitDatabase(config, stores.migrateUrl, onWait, signal)
  return withOwner(config, stores, async (owner) => {
    if (config.databaseSchema !== undefined) await ensureSchema(owner, config.databaseSchema)
    const ran = await migrate(owner, role, {
      clock: systemClock,
      fraction: fractionOf(systemRandom),
      patienceMs: migrationPatienceMs,
      onWait,
    })
    await validateConstraints(owner)
    await assertSameTables(config, stores)
    await buildIndexes(owner, { waitMs: indexPatienceMs, onGiveUp: onWait })
    return ran
  })
}

/**
 * Builds the indexes that a start did not wait for.
 * @returns the names of those that were built
 * @throws store_unavailable
 */
export const completeSchema = (
  config: Config,
  stores: StoreCredentials,
  onWait: OnWait,
): Promise<string[]> =>
  withOwner(config, stores, (owner) =>
    buildIndexes(owner, { waitMs: migrationPatienceMs, onGiveUp: onWait }),
  )
