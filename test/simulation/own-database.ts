import { loadConfig } from '../../src/config/index.ts'
import { type Database, openDatabase } from '../../src/infra/postgres/database.ts'
import { prepareSchema } from '../../src/schema.ts'
import { startPostgres } from '../support/postgres-server.ts'

/** More than a simulation ever has transactions open. */
const poolSize = 60

export type OwnDatabase = { readonly database: Database; readonly stop: () => Promise<void> }

/** A server on which nothing else runs: transactions of others would hold cursors back, and no run would be like the one before. */
export const ownDatabase = async (): Promise<OwnDatabase> => {
  const server = await startPostgres({ autovacuum: 'off', max_connections: '100' })
  await prepareSchema(
    { ...loadConfig({}), databaseConnectTimeoutMs: 10_000 },
    {
      databaseUrl: server.appUrl,
      migrateUrl: server.ownerUrl,
      secrets: [],
      peppers: [],
      lost: new Promise(() => undefined),
      close: async () => undefined,
    },
  )
  const database = openDatabase({
    url: server.appUrl,
    poolSize,
    connectTimeoutMs: 10_000,
    statementTimeoutMs: 30_000,
    preparedStatements: true,
    onIdleError: () => undefined,
  })
  return {
    database,
    stop: async () => {
      await database.close()
      await server.stop()
    },
  }
}
