import { expect } from 'vitest'
import { sqlAs } from '../servers/sql.ts'

const others =
  'SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()'

/** Resolves when nobody else is connected to the database: Postgres's counters are complete then, for a backend adds its own at its end. */
export const whenDisconnected = async (url: string): Promise<void> =>
  await expect.poll(async () => (await sqlAs(url)(others)).length).toBe(0)
