import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { PrimaryClient, type PrimaryConfig } from './primary-client.ts'
import { primaryHosts } from './primary-hosts.ts'
import { isNotPrimary, isStoreAway, storeFailure } from './store-failure.ts'

export type Deadlines<Item> = {
  /** Starts the time of an item, or starts it again. */
  readonly begin: (item: Item) => void
  /** The item is done in time. */
  readonly finish: (item: Item) => void
  /** Removes and returns the item that has waited longest. */
  readonly shift: () => Item | undefined
  readonly count: () => number
}

/** An item is late at the limit, or as much later as one check is from the next. */
const checksWithin = 10

/**
 * Calls `onLate` for each item that was begun and not finished within `limitMs`. Items are kept in the order in which they began.
 *
 * One timer serves all items, and it runs only while there are any: a timer per statement costs a refresh a quarter more time. Checks
 * are counted, not time. So a pause of the whole process makes nothing late that was finished meanwhile.
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
  /** How long a statement waits for a connection. The attempts to connect go on after that. */
  readonly waitMs: number
  /** How long a statement may take until its connection is given up. Zero: no limit. */
  readonly statementMs: number
  /** Told of connections that broke while idle; the pool replaces them by itself. */
  readonly onIdleError: (error: Error) => void
}

/** A connection of the pool; `release` gives it back to the pool below. */
export type PooledClient = PrimaryClient & Pick<pg.PoolClient, 'release'>

export type ConnectionPool = {
  /** Takes a connection to a primary. The taker gives it back. */
  readonly take: () => Promise<PooledClient>
  /** A connection that is not `isClean` may be in the middle of something: it is closed. */
  readonly giveBack: (client: PooledClient, isClean: boolean) => void
  readonly run: (client: PooledClient, query: pg.QueryConfig) => Promise<pg.QueryResult>
  /** Waits for the connections that are taken, then closes all. */
  readonly close: () => Promise<void>
}

type Waiter = {
  readonly resolve: (client: PooledClient) => void
  readonly reject: (error: unknown) => void
}

/** How long the servers get to take leave when the pool closes. */
const goodbyeMs = 500

/** Every connection of the pool from the first attempt on, so that none outlives the pool. */
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
  // No `connectionTimeoutMillis`: it would end an attempt when the wait of a request is over. Attempts end by themselves.
  const pool = new pg.Pool({ ...options, connectionString, max: poolSize, Client: TrackedClient })
  // A server that is stopped right after the service ends connections that are just closing.
  pool.on('error', (error) => {
    if (!pool.ending) onIdleError(error)
  })
  return {
    pool,
    clients,
    closeHosts: close,
    // The pool makes no other clients than these.
    connect: () => pool.connect() as Promise<unknown> as Promise<PooledClient>,
  }
}

/**
 * Keeps waiting for a connection and making one apart. A waiter gives up after `waitMs` and is served by whichever connection comes first,
 * one that is given back or one that was made. An attempt to connect goes on without its waiter and fills the pool for the next one. At most
 * `poolSize` attempts are under way. Nobody waits longer than `waitMs`, so neither queue grows without bound.
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

  /** An attempt that hangs, and whose waiter was served otherwise, must keep nobody from a connection that is idle. */
  const hasIdleForWaiter = () => pool.waitingCount < Math.min(waiting.count(), pool.idleCount)

  /** Asks the pool for as many connections as there are waiters: it hands over an idle one, makes one, or waits for the next. */
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
      ? // With a statement under way this destroys the socket: the server is not asked, so nothing can fail.
        deadlines<PrimaryClient>(options.statementMs, (client) => void client.end())
      : undefined

  const within = async <T>(client: PrimaryClient, act: () => Promise<T>): Promise<T> => {
    statements?.begin(client)
    try {
      return await act()
    } finally {
      // Between its statements a transaction may take its time.
      statements?.finish(client)
    }
  }
  const giveBack = (client: PooledClient, isClean: boolean): void => {
    if (isClean && client.isUsable) {
      handOver(client)
    } else {
      // A frozen server would never reply to a goodbye, and the pool would wait for that reply.
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
  /** Where the tables are. None: in the search path of the connection. */
  readonly schema?: string | undefined
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
    url: options.url,
    poolSize: options.poolSize,
    waitMs: options.connectTimeoutMs,
    statementMs: options.statementTimeoutMs,
    onIdleError: options.onIdleError,
    application_name: 'cardea',
    types,
    session: options,
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
