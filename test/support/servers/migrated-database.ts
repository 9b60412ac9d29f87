import { loadConfig } from '../../../src/config/index.ts'
import {
  type Database,
  type DatabaseOptions,
  openDatabase,
} from '../../../src/infra/postgres/database.ts'
import { prepareSchema } from '../../../src/schema.ts'
import { freshDatabase, startPostgres } from './postgres-server.ts'

type PoolOptions = Partial<Omit<DatabaseOptions, 'url'>>

/** A small pool as the service opens its own, with limits that only the tests of limits meet. */
export const appPool = (url: string, options: PoolOptions = {}): Database =>
  openDatabase({
    url,
    poolSize: 2,
    connectTimeoutMs: 30_000,
    statementTimeoutMs: 30_000,
    preparedStatements: true,
    onIdleError: () => undefined,
    ...options,
  })

/** As migrations open theirs: a statement may take as long as it takes, and none is prepared. */
export const ownerPool = (ownerUrl: string, options: PoolOptions = {}): Database =>
  appPool(ownerUrl, { statementTimeoutMs: 0, preparedStatements: false, ...options })

export type MigratedDatabase = {
  readonly ownerUrl: string
  readonly appUrl: string
  /** As the service opens it, with its role. */
  readonly database: Database
  readonly drop: () => Promise<void>
}

type Empty = {
  readonly ownerUrl: string
  readonly appUrl: string
  readonly drop: () => Promise<void>
}

const migrated = async (fresh: Empty, poolSize: number): Promise<MigratedDatabase> => {
  await prepareSchema(
    { ...loadConfig({}), databaseConnectTimeoutMs: 10_000 },
    {
      databaseUrl: fresh.appUrl,
      migrateUrl: fresh.ownerUrl,
      secrets: [],
      peppers: [],
      lost: new Promise(() => undefined),
      close: async () => undefined,
    },
  )
  const database = appPool(fresh.appUrl, { poolSize })
  return {
    ownerUrl: fresh.ownerUrl,
    appUrl: fresh.appUrl,
    database,
    drop: async () => {
      await database.close()
      await fresh.drop()
    },
  }
}

const usualPoolSize = 8

/** A database with the tables of this version and nothing in them, for tests of a store without the service around it. */
export const migratedDatabase = async (): Promise<MigratedDatabase> =>
  await migrated(await freshDatabase({ isMigrated: true }), usualPoolSize)

/**
 * The same in a Postgres of the test's own, for what depends on who else writes at this moment: the log's cursor waits for every
 * transaction that is open in the whole server.
 */
export const migratedServer = async (
  settings: Readonly<Record<string, string>> = {},
  poolSize = usualPoolSize,
): Promise<MigratedDatabase> => {
  const server = await startPostgres({ autovacuum: 'off', ...settings })
  const { ownerUrl, appUrl } = server
  return await migrated({ ownerUrl, appUrl, drop: server.stop }, poolSize)
}
