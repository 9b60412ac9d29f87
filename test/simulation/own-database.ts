import { loadConfig } from '../../src/config/index.ts'
import { type Database, openDatabase } from '../../src/infra/postgres/database.ts'
import { prepareSchema } from '../../src/schema.ts'
import { startPostgres } from '../support/postgres-server.ts'

/** More than a simulation ever has transactions open. */
const poolSize = 60

export type OwnDatabase = {
  readonly database: Database
  /** Another one in the same cluster. */
  readonly elsewhere: Database
  readonly stop: () => Promise<void>
}

/** A server on which nothing else runs: transactions of others take numbers, and no run would be like the one before. */
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
  const open = (url: string): Database =>
    openDatabase({
      url,
      poolSize,
      connectTimeoutMs: 10_000,
      statementTimeoutMs: 30_000,
      preparedStatements: true,
      onIdleError: () => undefined,
    })
  const database = open(server.appUrl)
  const elsewhere = open(new URL('/template1', server.ownerUrl).href)
  return {
    database,
    elsewhere,
    stop: async () => {
      await Promise.all([database.close(), elsewhere.close()])
      await server.stop()
    },
  }
}
