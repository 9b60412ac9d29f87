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

/** The calls of operations besides writing rows: a revocation needs a transaction number and locks, and notifies other processes. */
const callAll = {
  name: 'fitness_call_all',
  text: `SELECT clock_timestamp(), pg_current_xact_id(), pg_advisory_xact_lock(hashtextextended('cardea fitness', 0)),
    pg_notify('cardea_fitness', '')`,
}

/** Rolls back a transaction that only tests something: nothing changes, and nothing is notified. */
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
 * Tries once everything that the service needs from Postgres besides reading and writing rows. So a start fails here, and `doctor` says
 * why. Otherwise the feed would fail forever on a Postgres that lacks a function.
 * @returns the name of the revocation log
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

/** When a back-up takes longer than this, `cardea migrate` must be run again. */
const migrationPatienceMs = 10 * 60_000

/** A start does not wait for a back-up before it builds an index that it can do without. */
const indexPatienceMs = 5_000

const whoAmI = { name: 'who_am_i', text: 'SELECT current_user AS role' }

const roleOn = async (sql: Sql): Promise<string> => {
  const [row] = await sql.query<{ role: string }>(whoAmI)
  if (!row) throw new TypeError('a connection without a role')
  return row.role
}

/** Settings for a start and for commands. No client waits for a response, so a statement may take as long as the start. */
export const patientConfig = (config: Config): Config => {
  const patienceMs = config.databaseStartTimeoutSeconds * 1000
  return {
    ...config,
    databaseConnectTimeoutMs: patienceMs,
    databaseStatementTimeoutMs: Math.max(patienceMs, config.databaseStatementTimeoutMs),
  }
}

/** Called with what a start or a command waits for. */
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
    // One connection watches who blocks the other while a migration waits for a lock.
    poolSize: 2,
    connectTimeoutMs: patientConfig(config).databaseConnectTimeoutMs,
    statementTimeoutMs: 0,
    preparedStatements: false,
    onIdleError: () => undefined,
  })

/** Runs `act` with the role that owns the tables. */
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
 * Whether this version can work on the schema. If the role may not read the list of migrations, it was configured after they ran: migrating
 * again grants what it needs.
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

/** Whether there is something to migrate, as seen by the application's role, and the name of that role. */
const askDatabase = async (config: Config, stores: StoreCredentials) => {
  const app = openFor(config, stores.databaseUrl)
  try {
    return { isCurrent: await isSchemaCurrent(app), role: await roleOn(app) }
  } finally {
    await app.close()
  }
}

/**
 * The two URLs may lead to different databases or schemas.
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
 * Waits for Postgres, then migrates the database to this version if necessary. When nothing is left to do, a role without the right to
 * create tables is enough, so the service can start without the owner's credentials after a separate migration.
 * @param onWait called when it waits for Postgres or for other sessions
 * @param signal ends the wait for Postgres; its reason is thrown
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
