import { Cluster, Redis } from 'ioredis'
import type { Random } from '../../lib/random.ts'
import { parseRedisUrl, type RedisAddress } from '../../lib/redis-url.ts'
import { redisFailure } from './failure-text.ts'

export type RedisClient = Redis | Cluster

export type RedisConnection = {
  /**
   * For single commands and for libraries. In a cluster each command may name keys of one slot only. Commands that wait on
   * purpose (`BLPOP`, `XREAD BLOCK`) are not for this connection: it would be given up as frozen.
   */
  readonly client: RedisClient
  readonly isReady: () => boolean
  /** Why it is not ready: what the present outage began with, as `onError` was told. */
  readonly outage: () => Error | undefined
  /** Rejects within the command timeout when Redis does not answer. */
  readonly ping: () => Promise<void>
  /**
   * Runs at every connection made, the present one included: Redis may have lost everything while it was away, so whatever
   * must be in it is written again. In a cluster also at each connection to one of its nodes. The callback must not throw and handles
   * the failures of what it starts.
   */
  readonly onReady: (callback: () => void) => void
  /** Of a cluster: the address of the master of each slot, as last known. A command that finds another one there, or nobody, has it read again. */
  readonly slotMasters: (() => readonly (string | undefined)[]) | undefined
  /** Lets the commands under way finish, then closes for good. Never throws. */
  readonly close: () => Promise<void>
}

export type RedisOptions = {
  /** Told once an outage, not once a retry. The error holds no password and no command. */
  readonly onError: (error: Error) => void
  /** Told at the end of each outage that `onError` was told of. */
  readonly onRecovery?: () => void
  readonly random: Random
  readonly patience?: RedisPatience
}

export type RedisPatience = {
  /** One command, answer included, then it fails. */
  readonly commandMs: number
  /**
   * A frozen Redis keeps its connections open. This long without a word while answers are due, and the connection is given
   * up: from then on everything falls back at once and no longer waits for each command to time out.
   */
  readonly silenceMs: number
}

/** Redis answers in well under a millisecond; one that needs this long is of no use to a request. */
const defaultPatience: RedisPatience = { commandMs: 100, silenceMs: 250 }

/** Nobody waits for an attempt to connect, so it may take as long as TLS takes on a busy machine. */
const connectTimeoutMs = 10_000

/** Of several nodes one may drop packets: then the next one is tried soon. */
const nodeTimeoutMs = 1000

const longestRetryMs = 2000

/** Doubles from 50 ms to 2 s and never gives up; up to a quarter more by chance, so that instances do not return in step. */
const retryDelayMs = (attempt: number, random: Random): number => {
  const delayMs = Math.min(50 * 2 ** Math.min(attempt - 1, 10), longestRetryMs)
  return delayMs + (delayMs / 4) * (random(1).readUInt8() / 255)
}

const clientFor = (
  address: RedisAddress,
  random: Random,
  { commandMs, silenceMs }: RedisPatience,
): RedisClient => {
  const tls = address.tls ? { tls: {} } : {}
  const common = {
    ...tls,
    ...(address.username !== undefined && { username: address.username }),
    ...(address.password !== undefined && { password: address.password }),
    commandTimeout: commandMs,
    socketTimeout: silenceMs,
    connectTimeout: address.kind === 'single' ? connectTimeoutMs : nodeTimeoutMs,
    // A command that was lost with its connection is not sent again: its caller has fallen back long ago, and an
    // increment sent twice counts twice.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // After a fail-over behind one name we may still hold the old primary, which now refuses writes.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
  const retryStrategy = (attempt: number) => retryDelayMs(attempt, random)
  if (address.kind === 'cluster') {
    return new Cluster([...address.nodes], {
      enableOfflineQueue: false,
      // By default ioredis turns the name into an address first, and no certificate is made out to that.
      dnsLookup: (name, done) => done(null, name),
      clusterRetryStrategy: retryStrategy,
      clusterNodeRetryStrategy: retryStrategy,
      slotsRefreshTimeout: nodeTimeoutMs,
      redisOptions: common,
    })
  }
  const single = { ...common, db: address.database, enableOfflineQueue: false, retryStrategy }
  if (address.kind === 'single') return new Redis({ ...single, ...address.node })
  return new Redis({
    ...single,
    sentinels: [...address.nodes],
    name: address.masterName,
    sentinelCommandTimeout: nodeTimeoutMs,
    sentinelRetryStrategy: retryStrategy,
    ...(address.tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
  })
}

/** A master that is restarted leaves the cluster ready as a whole. */
const onEachNodeReady = (cluster: Cluster, callback: () => void): void => {
  const watch = (node: Redis) => {
    node.on('ready', () => {
      if (cluster.status === 'ready') callback()
    })
  }
  for (const node of cluster.nodes()) watch(node)
  cluster.on('+node', watch)
}

/**
 * Connects in the background and for ever, so the service starts and runs while Redis is away; commands then fail at once
 * instead of waiting in a queue.
 * @throws RedisUrlProblem
 */
export const connectRedis = (
  url: string,
  { onError, onRecovery, random, patience = defaultPatience }: RedisOptions,
): RedisConnection => {
  const client = clientFor(parseRedisUrl(url), random, patience)
  let outage: Error | undefined
  const report = (error: unknown) => {
    if (outage) return
    outage = redisFailure(error)
    onError(outage)
  }
  client.on('error', report)
  // A connection that the server closed, and a cluster that is not whole, raise no error: they only try again.
  client.on('reconnecting', () => report(new Error('the connection was lost or could not be made')))
  client.on('ready', () => {
    if (outage) onRecovery?.()
    outage = undefined
  })
  const isReady = () => client.status === 'ready'

  const ping = async () => {
    try {
      await client.ping()
    } catch (error) {
      throw redisFailure(error)
    }
  }
  const onReady = (callback: () => void) => {
    client.on('ready', callback)
    if (client instanceof Cluster) onEachNodeReady(client, callback)
    if (isReady()) callback()
  }
  const slotMasters =
    client instanceof Cluster ? () => client.slots.map(([master]) => master) : undefined
  const close = async () => {
    if (isReady()) await client.quit().catch(() => undefined)
    client.disconnect()
  }
  return { client, isReady, outage: () => outage, ping, onReady, slotMasters, close }
}
