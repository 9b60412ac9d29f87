import pg from 'pg'
import { expect, vi } from 'vitest'
import { sqlAs } from './sql.ts'

export type Held = {
  /** Resolves once so many statements of the service wait for the rows: their requests are under way. */
  readonly whenWaiting: (count: number) => Promise<void>
  readonly release: () => Promise<void>
}

const hold = async (ownerUrl: string, lock: string): Promise<Held> => {
  const client = new pg.Client(ownerUrl)
  await client.connect()
  await client.query('BEGIN')
  await client.query(lock)
  const waiting = `SELECT 1 FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'`
  return {
    whenWaiting: (count) =>
      vi.waitFor(async () => expect(await sqlAs(ownerUrl)(waiting)).toHaveLength(count), {
        interval: 20,
      }),
    release: async () => {
      await client.query('COMMIT')
      await client.end()
    },
  }
}

/** Locks every session there is, so that refreshes have to wait in the middle of their statement. */
export const holdSessions = (ownerUrl: string): Promise<Held> =>
  hold(ownerUrl, 'SELECT 1 FROM sessions FOR UPDATE')

/** Locks the log of revocations, so that whoever reads it has to wait. */
export const holdRevocations = (ownerUrl: string): Promise<Held> =>
  hold(ownerUrl, 'LOCK TABLE revocations IN ACCESS EXCLUSIVE MODE')

/** Locks the table of accounts, so that logins have to wait where they look for theirs. */
export const holdAccounts = (ownerUrl: string): Promise<Held> =>
  hold(ownerUrl, 'LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE')
