import { loadConfig } from '../../src/config/index.ts'
import { type Database, openDatabase } from '../../src/infra/postgres/database.ts'
import { prepareSchema } from '../../src/schema.ts'
import { freshDatabase, startPostgres } from './postgres-server.ts'

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

const migrated = async (fresh: Empty): Promise<MigratedDatabase> => {
  const config = { ...loadConfig({}), databaseConnectTimeoutMs: 10_000 }
  await prepareSchema(config, {
    databaseUrl: fresh.appUrl,
    migrateUrl: fresh.ownerUrl,
    secrets: [],
    peppers: [],
    lost: new Promise(() => undefined),
    close: async () => undefined,
  })
  const database = openDatabase({
    url: fresh.appUrl,
    poolSize: 8,
    connectTimeoutMs: config.databaseConnectTimeoutMs,
    statementTimeoutMs: 10_000,
    preparedStatements: true,
    onIdleError: () => undefined,
  })
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

/** A database with the tables of this version and nothing in them, for tests of a store without the service around it. */
export const migratedDatabase = async (): Promise<MigratedDatabase> =>
  await migrated(await freshDatabase({ isMigrated: true }))

/**
 * The same in a Postgres of the test's own, for what depends on who else writes at this moment: the log's cursor waits for every
 * transaction that is open in the whole server.
 */
export const migratedServer = async (): Promise<MigratedDatabase> => {
  const server = await startPostgres({ autovacuum: 'off' })
  return await migrated({ ownerUrl: server.ownerUrl, appUrl: server.appUrl, drop: server.stop })
}
