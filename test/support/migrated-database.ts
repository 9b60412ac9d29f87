import { loadConfig } from '../../src/config/index.ts'
import { type Database, openDatabase } from '../../src/infra/postgres/database.ts'
import { prepareSchema } from '../../src/schema.ts'
import { freshDatabase } from './postgres-server.ts'

export type MigratedDatabase = {
  readonly ownerUrl: string
  readonly appUrl: string
  /** As the service opens it, with its role. */
  readonly database: Database
  readonly drop: () => Promise<void>
}

/** A database with the tables of this version and nothing in them, for tests of a store without the service around it. */
export const migratedDatabase = async (): Promise<MigratedDatabase> => {
  const fresh = await freshDatabase()
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
