import type { Database } from '../../src/infra/postgres/database.ts'
import { appPool, migratedServer } from '../support/servers/migrated-database.ts'

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
  const { database, ownerUrl, drop } = await migratedServer({ max_connections: '100' }, poolSize)
  const elsewhere = appPool(new URL('/template1', ownerUrl).href, { poolSize })
  return {
    database,
    elsewhere,
    stop: async () => {
      await elsewhere.close()
      await drop()
    },
  }
}
