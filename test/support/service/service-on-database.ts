import { inject } from 'vitest'
import { type ServiceHome, serviceHome } from '../programs/child-service.ts'
import { type FreshDatabase, freshDatabase } from '../servers/postgres-server.ts'

export type ServiceOnDatabase = Omit<ServiceHome, 'remove'> & {
  /** Empty until the first start, which migrates it. */
  readonly database: FreshDatabase
  /** Ends every process that was started here and removes the folder and the database. */
  readonly remove: () => Promise<void>
}

/** A home of the real process over the Redis of the run and a database of its own. */
export const serviceOnDatabase = async (
  settings: Readonly<Record<string, string>>,
  entry?: string,
): Promise<ServiceOnDatabase> => {
  const database = await freshDatabase()
  const stores = {
    DATABASE_URL: database.appUrl,
    MIGRATE_DATABASE_URL: database.ownerUrl,
    REDIS_URL: inject('redisUrl'),
  }
  const home = await serviceHome({ ...stores, ...settings }, entry)
  return {
    ...home,
    database,
    remove: async () => {
      await home.remove()
      await database.drop()
    },
  }
}
