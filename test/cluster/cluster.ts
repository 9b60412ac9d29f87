import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { clockAhead } from '../support/clocks/wrong-clock.ts'
import {
  type ChildService,
  firstOperatorEmail,
  printedPassword,
  type ServiceHome,
  serviceHome,
} from '../support/programs/child-service.ts'
import { type PostgresServer, startPostgres } from '../support/servers/postgres-server.ts'
import {
  makeSynchronous,
  type PostgresStandby,
  startStandby,
} from '../support/servers/postgres-standby.ts'
import { type RedisServer, startRedis } from '../support/servers/redis-server.ts'
import { startTcpProxy, type TcpProxy } from '../support/servers/tcp-proxy.ts'

/** Also the audience of all tokens. Nobody listens there: every client knows the processes themselves. */
export const issuer = 'http://127.0.0.1:8088'

/** One of the processes of the service; always at the same address. */
export type Process = {
  readonly address: string
  readonly start: () => Promise<void>
  readonly kill: () => Promise<void>
  /** As a deployment ends it: SIGTERM, and it finishes what is under way. */
  readonly end: () => Promise<void>
  readonly freeze: () => void
  readonly thaw: () => void
  /** What it wrote since its last start. */
  readonly output: () => string
}

export type Cluster = {
  readonly processes: readonly Process[]
  /** As many addresses of balancers, which send to a process that says it is ready. */
  readonly balancers: readonly string[]
  readonly postgres: PostgresServer
  readonly redis: RedisServer & { readonly flush: () => Promise<void> }
  /** Throws when the case asked for none. */
  readonly standby: () => PostgresStandby
  readonly operator: { readonly email: string; readonly password: string }
  readonly stop: () => Promise<void>
}

export type ClusterOptions = {
  /** How far the wall clock of each process is ahead; 0 unless given. */
  readonly clocksAheadMs?: readonly number[]
  /** Commits wait for a standby. */
  readonly synchronous?: boolean
  readonly settings?: Readonly<Record<string, string>>
}

const size = 3

const processIn = (home: ServiceHome, aheadMs: number) => {
  let service: ChildService | undefined
  const environment = aheadMs === 0 ? {} : clockAhead(aheadMs)
  const signal = async (name: NodeJS.Signals) => {
    service?.signal(name)
    await service?.ended
  }
  return {
    address: home.address,
    start: async () => {
      service = await home.start(environment)
    },
    kill: () => signal('SIGKILL'),
    end: () => signal('SIGTERM'),
    freeze: () => service?.signal('SIGSTOP'),
    thaw: () => service?.signal('SIGCONT'),
    output: () => (service ? service.stdout() + service.stderr() : ''),
    password: () => (service ? printedPassword(service) : ''),
  }
}

const isReady = async (address: string): Promise<boolean> => {
  try {
    const response = await fetch(`${address}/health/ready`, { signal: AbortSignal.timeout(1_000) })
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

/** As a balancer does: after two looks in a row at which a process was not ready, its connections go to one that is. */
const superviseBalancers = (balancers: readonly TcpProxy[], addresses: readonly string[]) => {
  const targets = balancers.map((_, place) => place)
  const failures = addresses.map(() => 0)
  let isStopped = false
  const look = async () => {
    const ready = await Promise.all(addresses.map(isReady))
    for (const [place, is] of ready.entries()) failures[place] = is ? 0 : failures[place]! + 1
    const other = ready.indexOf(true)
    for (const [place, balancer] of balancers.entries()) {
      if (failures[targets[place]!]! < 2 || other === -1) continue
      targets[place] = other
      balancer.pointTo(addresses[other]!)
      balancer.cutAll()
    }
  }
  const run = async () => {
    while (!isStopped) {
      await look()
      await pause(300)
    }
  }
  const done = run()
  return async () => {
    isStopped = true
    await done
  }
}

const flush = async (url: string): Promise<void> => {
  const client = new Redis(url)
  await client.flushall()
  client.disconnect()
}

/** Real processes of the service over a Postgres and a Redis of their own; they end with this process, however it ends. */
export const startCluster = async (options: ClusterOptions = {}): Promise<Cluster> => {
  const { clocksAheadMs = [], synchronous = false, settings = {} } = options
  const stops: (() => Promise<void>)[] = []
  const stop = async () => {
    for (const one of stops.splice(0).reverse()) await one()
  }
  const build = async (): Promise<Cluster> => {
    // The pause of a standby must look like one, and not like the end of its connection.
    const postgres = await startPostgres({ max_connections: '200', wal_sender_timeout: '0' })
    stops.push(postgres.stop)
    const redis = await startRedis()
    stops.push(redis.stop)
    const base = {
      DATABASE_URL: postgres.appUrl,
      MIGRATE_DATABASE_URL: postgres.ownerUrl,
      REDIS_URL: redis.url,
      CARDEA_SECRET: 'a-secret-of-the-trial-that-is-long-enough',
      ISSUER: issuer,
      LOG_LEVEL: 'warn',
      // As in production, and not the generous ones of other tests.
      DATABASE_CONNECT_TIMEOUT_MS: '300',
      DATABASE_STATEMENT_TIMEOUT_MS: '1000',
      ...settings,
    }
    const processes: ReturnType<typeof processIn>[] = []
    for (let place = 0; place < size; place += 1) {
      const home = await serviceHome(base)
      stops.push(home.remove)
      const started = processIn(home, clocksAheadMs[place] ?? 0)
      await started.start()
      processes.push(started)
    }
    let standby: PostgresStandby | undefined
    if (synchronous) {
      standby = await startStandby(postgres)
      stops.push(standby.stop)
      await makeSynchronous(postgres)
    }
    const addresses = processes.map(({ address }) => address)
    const balancers = await Promise.all(addresses.map((address) => startTcpProxy(address)))
    for (const balancer of balancers) stops.push(balancer.stop)
    stops.push(superviseBalancers(balancers, addresses))
    return {
      processes,
      balancers: balancers.map(({ port }) => `http://127.0.0.1:${port}`),
      postgres,
      redis: Object.assign(redis, { flush: () => flush(redis.url) }),
      standby: () => {
        if (!standby) throw new Error('the case asked for no standby')
        return standby
      },
      operator: { email: firstOperatorEmail, password: processes[0]!.password() },
      stop,
    }
  }
  try {
    return await build()
  } catch (error) {
    await stop()
    throw error
  }
}
