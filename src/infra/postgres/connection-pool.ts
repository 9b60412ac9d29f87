import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { deadlines } from './deadlines.ts'
import { PrimaryClient } from './primary-client.ts'

export type PoolOptions = pg.ClientConfig & {
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
const openPgPool = ({ poolSize, onIdleError, ...options }: PoolOptions) => {
  const clients = new Set<PrimaryClient>()
  class TrackedClient extends PrimaryClient {
    constructor(config?: pg.ClientConfig) {
      super(config)
      clients.add(this)
      this.once('end', () => clients.delete(this))
    }
  }
  // No `connectionTimeoutMillis`: it would end an attempt when the wait of a request is over. Attempts end by themselves.
  const pool = new pg.Pool({ ...options, max: poolSize, Client: TrackedClient })
  // A server that is stopped right after the service ends connections that are just closing.
  pool.on('error', (error) => {
    if (!pool.ending) onIdleError(error)
  })
  return {
    pool,
    clients,
    // The pool makes no other clients than these.
    connect: () => pool.connect() as Promise<unknown> as Promise<PooledClient>,
  }
}

/**
 * Keeps waiting for a connection and making one apart. A waiter gives up after `waitMs` and is served by whichever connection comes first,
 * one that is given back or one that was made. An attempt to connect goes on without its waiter and fills the pool for the next one. At most
 * `poolSize` attempts are under way. Nobody waits longer than `waitMs`, so neither queue grows without bound.
 */
const openQueue = (connect: () => Promise<PooledClient>, { poolSize, waitMs }: PoolOptions) => {
  let lastFailure: unknown
  const waiting = deadlines<Waiter>(waitMs, ({ reject }) =>
    reject(new Error(`timeout: no connection within ${waitMs} ms`, { cause: lastFailure })),
  )
  let requested = 0

  /** Asks the pool for as many connections as there are waiters: it hands over an idle one, makes one, or waits for the next. */
  const request = (): void => {
    while (requested < Math.min(waiting.count(), poolSize)) {
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
export const openConnectionPool = (options: PoolOptions): ConnectionPool => {
  const { pool, clients, connect } = openPgPool(options)
  const { next, handOver } = openQueue(connect, options)
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
      if (!client.isDueForCheck) return client
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
      for (const client of clients) if (!client.isConnected) client.destroy()
      await pool.end()
      const ends = [...clients].map((client) => new Promise((end) => client.once('end', end)))
      await Promise.race([Promise.all(ends), pause(goodbyeMs, undefined, { ref: false })])
      for (const client of clients) client.destroy()
    },
  }
}
