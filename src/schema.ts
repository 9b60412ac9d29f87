import type { Config } from './config/index.ts'
import { type Database, openDatabase, type Sql } from './infra/postgres/database.ts'
import { migrate, pendingMigrations } from './infra/postgres/migrate.ts'
import { validateConstraints } from './infra/postgres/validate-constraints.ts'
import type { Stores } from './stores.ts'

const whoAmI = { name: 'who_am_i', text: 'SELECT current_user AS role' }

const roleOn = async (sql: Sql): Promise<string> => {
  const [row] = await sql.query<{ role: string }>(whoAmI)
  if (!row) throw new TypeError('a connection without a role')
  return row.role
}

const openFor = (config: Config, url: string): Database =>
  openDatabase({
    url,
    poolSize: 1,
    connectTimeoutMs: config.databaseConnectTimeoutMs,
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
 * Brings the database up to this version if it is not. A role that may not create tables is enough when nothing is left to do, so the
 * service can start without the owner's credentials after a separate migration.
 * @returns the names of the migrations that ran
 * @throws MigrationMismatch, store_unavailable
 */
export const prepareSchema = async (config: Config, stores: Stores): Promise<string[]> => {
  const { isCurrent, role } = await askDatabase(config, stores)
  if (isCurrent) return []
  const owner = openFor(config, stores.migrateUrl)
  try {
    const ran = await migrate(owner, role)
    await validateConstraints(owner)
    return ran
  } finally {
    await owner.close()
  }
}
