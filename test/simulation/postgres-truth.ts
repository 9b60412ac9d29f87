import { postgresAccountStore } from '../../src/accounts/index.ts'
import type { Database, Sql } from '../../src/infra/postgres/database.ts'
import { isStoreAway } from '../../src/infra/postgres/store-failure.ts'
import { idToBytes } from '../../src/lib/machine.ts'
import { postgresRotationStore } from '../../src/refresh/index.ts'
import {
  postgresReadLog,
  postgresRevocationLog,
  postgresRevocationPurge,
  type RevocationEntry,
} from '../../src/revocation/index.ts'
import { postgresSessionStore } from '../../src/sessions/index.ts'
import type { Line } from './line.ts'
import {
  calledThrough,
  callOn,
  entryLifetimeOf,
  noOwnedClients,
  type OperationStores,
  type SimulatedStores,
  type Truth,
  type Watcher,
} from './truth.ts'

export type PostgresTruthOptions = {
  readonly database: Database
  /** Another database of the same cluster. */
  readonly elsewhere: Database
  readonly accessTokenSeconds: number
}

/** The way to the database is gone in the middle of a transaction; the database itself is well. */
class LineBroke extends Error {}

const addAccount = {
  name: 'simulation_add_account',
  text: `INSERT INTO accounts (id, email, email_canonical, status, roles, password_phc, created_at, updated_at)
         VALUES ($1, $2, $2, 'active', '{}', 'none', now(), now())`,
}

const takeNumber = { name: 'simulation_take_number', text: 'SELECT pg_current_xact_id()' }

/** Statements that wait for a row that somebody has locked. */
const blocked = {
  name: 'simulation_blocked',
  text: `SELECT 1 FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'`,
}

/** After so many turns of the event loop without an answer it is worth asking whether something is blocked. */
const patientTurns = 200

/**
 * The truth in Postgres, through the stores of the product. Time stands still while it works: `settled` waits until each statement is
 * answered or waits for a row, so that a run is the same every time.
 */
export const postgresTruth = ({
  database,
  elsewhere,
  accessTokenSeconds,
}: PostgresTruthOptions): Truth => {
  let busy = 0
  const working = async <T>(work: () => Promise<T>): Promise<T> => {
    busy += 1
    try {
      return await work()
    } finally {
      busy -= 1
    }
  }
  const travelling = (sql: Sql, line: Line, watcher: Watcher): Sql => ({
    query: async (statement, values) => {
      await line.there(statement.name)
      watcher.looks()
      const rows = await working(() => sql.query<never>(statement, values))
      watcher.looked()
      await line.back(statement.name)
      return rows
    },
  })

  const forOperation: Truth['forOperation'] = (line, clock, watcher): OperationStores => {
    const storesOn = (sql: Sql, onAppend: (entry: RevocationEntry) => void): SimulatedStores => {
      const far = travelling(sql, line, watcher)
      const lifetimeMs = entryLifetimeOf(accessTokenSeconds)
      const stores: SimulatedStores = {
        accounts: postgresAccountStore(far),
        clients: noOwnedClients,
        sessions: postgresSessionStore(far, {
          tokensLastMs: lifetimeMs,
          settings: { sessionAbsoluteSeconds: 1e9, browserSessionSeconds: 1e9 },
          onEnd: () => undefined,
        }),
        rotations: postgresRotationStore(far),
        revocations: postgresRevocationLog(far, clock, onAppend, lifetimeMs),
        audit: { record: async () => undefined },
      }
      return calledThrough(async (store, method, args) => {
        const result = await callOn(stores, store, method, args)
        watcher.did(`${store}.${method}`, args, result)
        return result
      })
    }
    const inTransaction: OperationStores['inTransaction'] = async (work) => {
      const entries: RevocationEntry[] = []
      const run = async (sql: Sql) => {
        busy -= 1
        try {
          const result = await work(storesOn(sql, (entry) => entries.push(entry)))
          await line.there('commit')
          watcher.committing()
          return result
        } catch (error) {
          // Else the connection would be closed, and Postgres would roll back at a moment of its own.
          throw isStoreAway(error) ? new LineBroke('rolled back', { cause: error }) : error
        } finally {
          busy += 1
        }
      }
      const result = await working(() => database.transaction(run)).catch((error: unknown) => {
        throw error instanceof LineBroke ? error.cause : error
      })
      watcher.committed({}, entries)
      await line.back('commit')
      return result
    }
    return { stores: storesOn(database, () => undefined), inTransaction }
  }

  const settled = async (): Promise<void> => {
    for (let turns = 0; busy > 0; turns += 1) {
      await new Promise((resolve) => setImmediate(resolve))
      if (turns % patientTurns < patientTurns - 1) continue
      const waiting = await database.query(blocked)
      if (waiting.length >= busy) return
    }
    await new Promise((resolve) => setImmediate(resolve))
    if (busy > 0) await settled()
  }
  return {
    forOperation,
    settled,
    readLog: (clock) => {
      const log = postgresReadLog(database, clock, () => undefined)
      return {
        changes: (from) => working(() => log.changes(from)),
        snapshot: () => working(() => log.snapshot()),
      }
    },
    dropEnded: async (clock) => {
      await working(() => postgresRevocationPurge(database).dropEnded(clock.nowMs(), 1_000))
    },
    writeElsewhere: () =>
      working(
        () =>
          new Promise((begun, failed) => {
            const whole = elsewhere.transaction(async (sql) => {
              await sql.query(takeNumber)
              await new Promise<void>((end) =>
                begun(async () => {
                  end()
                  await working(() => whole)
                }),
              )
            })
            whole.catch(failed)
          }),
      ),
    addAccount: async (accountId) => {
      await database.query(addAccount, [idToBytes(accountId), `${accountId}@example.com`])
    },
  }
}
