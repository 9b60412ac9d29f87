import pg from 'pg'
import { limitStatements } from './statement-limit.ts'
import { isStoreAway, storeFailure } from './store-failure.ts'

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
  /** Waits for the statements under way, then closes every connection. */
  readonly close: () => Promise<void>
}

export type DatabaseOptions = {
  readonly url: string
  readonly poolSize: number
  /** Includes the wait for a free connection of the pool. */
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

const openPool = (options: DatabaseOptions): pg.Pool => {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.poolSize,
    connectionTimeoutMillis: options.connectTimeoutMs,
    application_name: 'cardea',
    types,
    ...(options.statementTimeoutMs > 0 && { statement_timeout: options.statementTimeoutMs }),
    ...(options.idleInTransactionTimeoutMs !== undefined && {
      idle_in_transaction_session_timeout: options.idleInTransactionTimeoutMs,
    }),
  })
  // A server that is stopped right after the service ends connections that are just closing.
  pool.on('error', (error) => {
    if (!pool.ending) options.onIdleError(error)
  })
  return pool
}

/** Connections are made when first needed, so this neither fails nor waits while Postgres is away. */
export const openDatabase = (options: DatabaseOptions): Database => {
  const pool = openPool(options)
  const limit =
    options.statementTimeoutMs > 0 ? limitStatements(options.statementTimeoutMs) : undefined
  if (limit) {
    pool.on('acquire', limit.begin)
    pool.on('release', (_error, client) => limit.finish(client))
  }

  const transaction = async <T>(work: (sql: Sql) => Promise<T>): Promise<T> => {
    const client = await pool.connect().catch((error: unknown) => {
      throw storeFailure(error)
    })
    // Until COMMIT or ROLLBACK has been answered nobody knows what the connection is in the middle of: it is then closed, never
    // handed out again.
    let fault: Error | undefined = new Error('a transaction was left unfinished')
    // The pool listens to idle connections only. One that breaks in our hands fails the statement under way, and then says so once
    // more as an event; unheard, that event would end the process.
    const onBreak = (error: Error): void => {
      fault = error
    }
    client.on('error', onBreak)
    const run: Run = async (query) => {
      limit?.begin(client)
      try {
        return await client.query(query)
      } finally {
        // Between its statements a transaction may take its time.
        limit?.finish(client)
      }
    }
    const sql = sqlBy(run, options.preparedStatements)
    try {
      await sql.query(begin)
      const result = await work(sql)
      await sql.query(commit)
      fault = undefined
      return result
    } catch (error) {
      // One that does not answer is not asked to roll back: closing it does that, and asking would cost the caller another timeout.
      if (!isStoreAway(error)) {
        await sql.query(rollback)
        fault = undefined
      }
      throw error
    } finally {
      client.release(fault)
      if (!fault) client.off('error', onBreak)
    }
  }

  const sql = sqlBy((query) => pool.query(query), options.preparedStatements)
  return {
    ...sql,
    transaction,
    ping: async () => {
      await sql.query(ping)
    },
    close: async () => {
      await pool.end()
      limit?.stop()
    },
  }
}
