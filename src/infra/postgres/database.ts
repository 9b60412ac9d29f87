import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { PrimaryClient, type PrimaryConfig } from './primary-client.ts'
import { primaryHosts } from './primary-hosts.ts'
import { isNotPrimary, isStoreAway, storeFailure } from './store-failure.ts'

export type Deadlines<Item> = {
  /** Starts or restarts the time of an item. */
  readonly begin: (item: Item) => void
  /** The item finished in time. */
  readonly finish: (item: Item) => void
  /** Removes and returns the item that has waited longest. */
  readonly shift: () => Item | undefined
  readonly count: () => number
}

/** A late item is found at the limit, or up to one check interval later. */
const checksWithin = 10

/**
 * Calls `onLate` for each item that was started and not finished within `limitMs`. Items are kept in the order of their start.
 *
 * One timer serves all items, and it runs only while there are any: a timer per statement would slow a refresh down by a quarter. It counts
 * checks instead of time, so that a pause of the whole process makes no item late that was finished meanwhile.
 */
const deadlines = <Item>(limitMs: number, onLate: (item: Item) => void): Deadlines<Item> => {
  const open = new Map<Item, number>()
  let timer: NodeJS.Timeout | undefined
  const check = (): void => {
    if (open.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
    for (const [item, checks] of open) {
      if (checks < checksWithin) {
        open.set(item, checks + 1)
      } else {
        open.delete(item)
        onLate(item)
      }
    }
  }
  return {
    begin: (item) => {
      open.set(item, 0)
      timer ??= setInterval(check, limitMs / checksWithin).unref()
    },
    finish: (item) => {
      open.delete(item)
    },
    shift: () => {
      const [item] = open.keys()
      if (item !== undefined) open.delete(item)
      return item
    },
    count: () => open.size,
  }
}

export type PoolOptions = Omit<PrimaryConfig, 'connectionString' | 'findPlace'> & {
  readonly url: string
  readonly poolSize: number
  /** How long a statement waits for a connection. Attempts to connect continue after that. */
  readonly waitMs: number
  /** How long a statement may take before its connection is closed. Zero: no limit. */
  readonly statementMs: number
  /** Called for connections that broke while idle. The pool replaces them. */
  readonly onIdleError: (error: Error) => void
}

/** A connection of the pool; `release` returns it to the `pg` pool. */
export type PooledClient = PrimaryClient & Pick<pg.PoolClient, 'release'>

export type ConnectionPool = {
  /** Takes a connection to a primary. The caller must give it back. */
  readonly take: () => Promise<PooledClient>
  /** A connection that is not `isClean` may be in an unknown state, so it is closed. */
  readonly giveBack: (client: PooledClient, isClean: boolean) => void
  readonly run: (client: PooledClient, query: pg.QueryConfig) => Promise<pg.QueryResult>
  /** Waits for the connections in use, then closes all. */
  readonly close: () => Promise<void>
}

type Waiter = {
  readonly resolve: (client: PooledClient) => void
  readonly reject: (error: unknown) => void
}

/** How long the servers get to end the connections when the pool closes. */
const goodbyeMs = 500

/** Every connection of the pool from its first attempt on, so that none outlives the pool. */
const openPgPool = ({ url, session, poolSize, onIdleError, ...options }: PoolOptions) => {
  const { connectionString, findPlace, close } = primaryHosts(url)
  const clients = new Set<PrimaryClient>()
  class TrackedClient extends PrimaryClient {
    constructor(config?: pg.ClientConfig) {
      super({ ...config, session, findPlace })
      clients.add(this)
      this.once('end', () => clients.delete(this))
    }
  }
  // No `connectionTimeoutMillis`: it would end an attempt when the wait of a request is over. Attempts have their own limit.
  const pool = new pg.Pool({ ...options, connectionString, max: poolSize, Client: TrackedClient })
  // A server that is stopped right after the service breaks connections that are being closed.
  pool.on('error', (error) => {
    if (!pool.ending) onIdleError(error)
  })
  return {
    pool,
    clients,
    closeHosts: close,
    // The pool makes only clients of this type.
    connect: () => pool.connect() as Promise<unknown> as Promise<PooledClient>,
  }
}

/**
 * Separates waiting for a connection from making one. A waiter gives up after `waitMs` and gets whichever connection comes first, a
 * returned or a new one. An attempt to connect continues without its waiter and fills the pool for the next one. At most `poolSize`
 * attempts run at once. No request waits longer than `waitMs`, so neither queue grows without bound.
 */
const openQueue = (
  { pool, connect }: Pick<ReturnType<typeof openPgPool>, 'pool' | 'connect'>,
  { poolSize, waitMs }: PoolOptions,
) => {
  let lastFailure: unknown
  const waiting = deadlines<Waiter>(waitMs, ({ reject }) =>
    reject(new Error(`timeout: no connection within ${waitMs} ms`, { cause: lastFailure })),
  )
  let requested = 0

  /** A hanging attempt whose waiter was served by another connection must not block waiters from idle connections. */
  const hasIdleForWaiter = () => pool.waitingCount < Math.min(waiting.count(), pool.idleCount)

  /** Requests as many connections from the pool as there are waiters: it returns an idle one, makes one, or waits for the next. */
  const request = (): void => {
    while (requested < Math.min(waiting.count(), poolSize) || hasIdleForWaiter()) {
      requested += 1
      void connect().then(arrive, fail)
    }
  }
  const arrive = (client: PooledClient): void => {
    requested -= 1
    lastFailure = undefined
    handOver(client)
  }
  const fail = (error: unknown): void => {
    requested -= 1
    lastFailure = error
    waiting.shift()?.reject(error)
    request()
  }
  const handOver = (client: PooledClient): void => {
    const waiter = waiting.shift()
    if (waiter) waiter.resolve(client)
    else client.release()
  }
  const next = (): Promise<PooledClient> =>
    new Promise((resolve, reject) => {
      waiting.begin({ resolve, reject })
      request()
    })
  return { next, handOver }
}

/** A pool of connections to a primary. Nothing connects before the first `take`. */
const openConnectionPool = (options: PoolOptions): ConnectionPool => {
  const opened = openPgPool(options)
  const { pool, clients, closeHosts } = opened
  const { next, handOver } = openQueue(opened, options)
  const statements =
    options.statementMs > 0
      ? // With a running statement this destroys the socket without asking the server, so nothing can fail.
        deadlines<PrimaryClient>(options.statementMs, (client) => void client.end())
      : undefined

  const within = async <T>(client: PrimaryClient, act: () => Promise<T>): Promise<T> => {
    statements?.begin(client)
    try {
      return await act()
    } finally {
      // Between its statements a transaction has no limit here.
      statements?.finish(client)
    }
  }
  const giveBack = (client: PooledClient, isClean: boolean): void => {
    if (isClean && client.isUsable) {
      handOver(client)
    } else {
      // A frozen server would never reply to a termination message, and the pool would wait for it.
      client.destroy()
      client.release(true)
    }
  }
  return {
    take: async () => {
      const client = await next()
      if (!(client.isPooled && client.isDueForCheck)) return client
      try {
        await within(client, () => client.assertPrimary())
        return client
      } catch (error) {
        giveBack(client, false)
        throw error
      }
    },
    giveBack,
    run: (client, query) => within(client, () => client.query(query)),
    close: async () => {
      closeHosts()
      for (const client of clients) if (!client.isConnected) client.destroy()
      await pool.end()
      const ends = [...clients].map((client) => new Promise((end) => client.once('end', end)))
      await Promise.race([Promise.all(ends), pause(goodbyeMs, undefined, { ref: false })])
      for (const client of clients) client.destroy()
    },
  }
}

/** One SQL statement. `name` makes it a prepared one, unless the setting forbids it (poolers in transaction mode). */
export type Statement = { readonly name: string; readonly text: string }

/** What a store needs. A pool and a transaction both implement it. */
export type Sql = {
  /** Rows as parsed by `pg`; an empty array for none. Throws `store_unavailable` when Postgres does not respond in time. */
  readonly query: <Row>(statement: Statement, values?: readonly unknown[]) => Promise<Row[]>
}

export type Database = Sql & {
  /** Commits when `work` resolves, rolls back when it throws. Committed means on disk: a resolved call is durable. */
  readonly transaction: <T>(work: (sql: Sql) => Promise<T>) => Promise<T>
  /** Resolves when Postgres responds. Throws `store_unavailable` when it does not respond in time. */
  readonly ping: () => Promise<void>
  /** Whether a `store_unavailable` means that the server accepts no writes: it is a standby, or read-only. */
  readonly isNotPrimary: (error: unknown) => boolean
  /** Waits for the running statements, then closes every connection. */
  readonly close: () => Promise<void>
}

export type DatabaseOptions = {
  readonly url: string
  /** The schema of the tables. Undefined: the search path of the connection. */
  readonly schema?: string | undefined
  readonly poolSize: number
  /** How long a statement waits for an idle or a new connection. An attempt to connect may take longer and continues. */
  readonly connectTimeoutMs: number
  /** Zero: no limit (migrations). */
  readonly statementTimeoutMs: number
  /** How long a transaction may wait for its next statement before Postgres ends it. Default: no limit. */
  readonly idleInTransactionTimeoutMs?: number
  readonly preparedStatements: boolean
  /** Called for connections that broke while idle. The pool replaces them. */
  readonly onIdleError: (error: Error) => void
}

/** The driver formats a date in local time, digit by digit; this is one call. */
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
      // The author of the statement declares the columns.
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
    url: options.url,
    poolSize: options.poolSize,
    waitMs: options.connectTimeoutMs,
    statementMs: options.statementTimeoutMs,
    onIdleError: options.onIdleError,
    application_name: 'cardea',
    types,
    session: options,
  })

/** Connections are made on first use, so this neither fails nor waits while Postgres is unreachable. */
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
    // Until COMMIT or ROLLBACK has completed, the state of the connection is unknown: it is then closed and not reused.
    let isClean = false
    const sql = sqlBy((query) => pool.run(client, query), options.preparedStatements)
    try {
      await sql.query(begin)
      const result = await work(sql)
      await sql.query(commit)
      isClean = true
      return result
    } catch (error) {
      // A connection that does not respond gets no ROLLBACK: closing it has the same effect, and sending one would cost the caller another
      // timeout.
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
