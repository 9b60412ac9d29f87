import pg from 'pg'
import { openConnectionPool, type PooledClient } from './connection-pool.ts'
import { isNotPrimary, isStoreAway, storeFailure } from './store-failure.ts'

/** One SQL statement; `name` makes it a prepared one, unless the setting forbids (poolers in transaction mode). */
export type Statement = { readonly name: string; readonly text: string }

/** What a store needs: the pool and a transaction look the same to it. */
export type Sql = {
  /** Rows as `pg` parses them; an empty array means none. Throws `store_unavailable` when Postgres does not answer in time. */
  readonly query: <Row>(statement: Statement, values?: readonly unknown[]) => Promise<Row[]>
}

export type Database = Sql & {
  /** Commits when `work` resolves, rolls back when it throws. Committed means on disk: a resolved call is durable. */
  readonly transaction: <T>(work: (sql: Sql) => Promise<T>) => Promise<T>
  /** Resolves when Postgres answers; throws `store_unavailable` when it does not in time. */
  readonly ping: () => Promise<void>
  /** Whether a `store_unavailable` means that the server takes no writes: it is a standby, or set to read only. */
  readonly isNotPrimary: (error: unknown) => boolean
  /** Waits for the statements under way, then closes every connection. */
  readonly close: () => Promise<void>
}

export type DatabaseOptions = {
  readonly url: string
  readonly poolSize: number
  /** How long a statement waits for a connection, a free one or a new one. An attempt to connect may take longer and goes on. */
  readonly connectTimeoutMs: number
  /** Zero: no limit (migrations). */
  readonly statementTimeoutMs: number
  /** How long a transaction may wait for its next statement before Postgres ends it; for ever unless given. */
  readonly idleInTransactionTimeoutMs?: number
  readonly preparedStatements: boolean
  /** Told of connections that broke while idle; the pool replaces them by itself. */
  readonly onIdleError: (error: Error) => void
}

/** The driver writes a date in local time, digit by digit; this is one call. */
const asParameter = (value: unknown): unknown =>
  value instanceof Date ? value.toISOString() : value

type Run = (query: pg.QueryConfig) => Promise<{ rows: unknown[] }>

const sqlBy = (run: Run, prepared: boolean): Sql => ({
  query: async <Row>(statement: Statement, values: readonly unknown[] = []) => {
    const { name, text } = statement
    const parameters = values.map(asParameter)
    const query = prepared ? { name, text, values: parameters } : { text, values: parameters }
    try {
      const { rows } = await run(query)
      // What the columns are is known to whoever wrote the statement.
      return rows as Row[]
    } catch (error) {
      throw storeFailure(error)
    }
  },
})

const begin = { name: 'begin', text: 'BEGIN' }
const commit = { name: 'commit', text: 'COMMIT' }
const ping = { name: 'ping', text: 'SELECT 1' }
const rollback = { name: 'rollback', text: 'ROLLBACK' }

/** Sequence numbers and epochs are bigint in SQL and stay far below 2^53. */
const bigintOid = 20

const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') =>
    oid === bigintOid ? Number : pg.types.getTypeParser(oid, format),
}

const openPool = (options: DatabaseOptions) =>
  openConnectionPool({
    connectionString: options.url,
    poolSize: options.poolSize,
    waitMs: options.connectTimeoutMs,
    statementMs: options.statementTimeoutMs,
    onIdleError: options.onIdleError,
    application_name: 'cardea',
    types,
    ...(options.statementTimeoutMs > 0 && { statement_timeout: options.statementTimeoutMs }),
    ...(options.idleInTransactionTimeoutMs !== undefined && {
      idle_in_transaction_session_timeout: options.idleInTransactionTimeoutMs,
    }),
  })

/** Connections are made when first needed, so this neither fails nor waits while Postgres is away. */
export const openDatabase = (options: DatabaseOptions): Database => {
  const pool = openPool(options)

  const take = async (): Promise<PooledClient> => {
    try {
      return await pool.take()
    } catch (error) {
      throw storeFailure(error)
    }
  }

  const transaction = async <T>(work: (sql: Sql) => Promise<T>): Promise<T> => {
    const client = await take()
    // Until COMMIT or ROLLBACK has been answered nobody knows what the connection is in the middle of: it is then closed, never
    // handed out again.
    let isClean = false
    const sql = sqlBy((query) => pool.run(client, query), options.preparedStatements)
    try {
      await sql.query(begin)
      const result = await work(sql)
      await sql.query(commit)
      isClean = true
      return result
    } catch (error) {
      // One that does not answer is not asked to roll back: closing it does that, and asking would cost the caller another timeout.
      if (!isStoreAway(error)) {
        await sql.query(rollback)
        isClean = true
      }
      throw error
    } finally {
      pool.giveBack(client, isClean)
    }
  }

  const runOnce: Run = async (query) => {
    const client = await pool.take()
    let isClean = false
    try {
      const result = await pool.run(client, query)
      isClean = true
      return result
    } finally {
      pool.giveBack(client, isClean)
    }
  }

  const sql = sqlBy(runOnce, options.preparedStatements)
  return {
    ...sql,
    transaction,
    ping: async () => {
      await sql.query(ping)
    },
    isNotPrimary,
    close: pool.close,
  }
}
