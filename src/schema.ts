import type { Config } from './config/index.ts'
import { awaitPrimary } from './infra/postgres/await-primary.ts'
import { type Database, openDatabase, type Sql } from './infra/postgres/database.ts'
import { migrate, pendingMigrations } from './infra/postgres/migrate.ts'
import { validateConstraints } from './infra/postgres/validate-constraints.ts'
import { systemClock } from './lib/clock.ts'
import { fractionOf, systemRandom } from './lib/random.ts'
import type { Stores } from './stores.ts'

/** A back-up takes longer than this only where there is time to run `cardea migrate` again. */
const migrationPatienceMs = 10 * 60_000

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
    patienceMs: config.databaseStartTimeoutSeconds * 1000,
    clock: systemClock,
    onWait: (why) =>
      onWait(`waiting up to ${config.databaseStartTimeoutSeconds} s for Postgres at ${why}`),
  })

const openFor = (config: Config, url: string): Database =>
  openDatabase({
    url,
    // One of them watches who holds the other up while a migration waits for a lock.
    poolSize: 2,
    connectTimeoutMs: patientConfig(config).databaseConnectTimeoutMs,
    statementTimeoutMs: 0,
    preparedStatements: false,
    onIdleError: () => undefined,
  })

/** SQLSTATE insufficient_privilege. */
const isDenied = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '42501'

/**
 * Whether this version can work on the schema. A role that may not even read the list of migrations was named after they ran:
 * migrating again grants it what it needs.
 * @throws MigrationMismatch, store_unavailable
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
const askDatabase = async (config: Config, stores: Stores) => {
  const app = openFor(config, stores.databaseUrl)
  try {
    return { isCurrent: await isSchemaCurrent(app), role: await roleOn(app) }
  } finally {
    await app.close()
  }
}

/**
 * Brings the database up to this version if it is not, as soon as Postgres takes connections. A role that may not create tables is enough
 * when nothing is left to do, so the service can start without the owner's credentials after a separate migration.
 * @param onWait told of Postgres, and of other sessions, that are waited for
 * @param signal ends the waiting for Postgres; its reason is thrown
 * @returns the names of the migrations that ran
 * @throws MigrationMismatch, MigrationBlocked, store_unavailable
 */
export const prepareSchema = async (
  config: Config,
  stores: Stores,
  onWait: OnWait = () => undefined,
  signal?: AbortSignal,
): Promise<string[]> => {
  await awaitDatabase(config, stores.databaseUrl, onWait, signal)
  const { isCurrent, role } = await askDatabase(config, stores)
  if (isCurrent) return []
  await awaitDatabase(config, stores.migrateUrl, onWait, signal)
  const owner = openFor(config, stores.migrateUrl)
  try {
    const ran = await migrate(owner, role, {
      clock: systemClock,
      fraction: fractionOf(systemRandom),
      patienceMs: migrationPatienceMs,
      onWait,
    })
    await validateConstraints(owner)
    return ran
  } finally {
    await owner.close()
  }
}
