import { setTimeout as pause } from 'node:timers/promises'
import keySlot from 'cluster-key-slot'
import { Cluster, Redis } from 'ioredis'
import type { Random } from '../../lib/machine.ts'
import { parseRedisUrl, type RedisAddress } from '../../lib/redis-url.ts'

/** Trying several addresses of one name ends in an AggregateError, whose own message is empty. */
const firstOf = (error: unknown): unknown =>
  error instanceof AggregateError ? error.errors[0] : error

/** A cluster says only that no node replied as it should; why stands in the error of the last node. */
const behind = (error: Error): string => {
  const cause: unknown = Reflect.get(error, 'lastNodeError')
  return cause instanceof Error ? ` (${cause.message})` : ''
}

/**
 * The message of an error of ioredis and nothing else: its errors carry the failed command with all arguments, and the
 * first command of a connection is the one with the password.
 */
export const redisFailure = (error: unknown): Error => {
  const first = firstOf(error)
  const message = first instanceof Error ? `${first.message}${behind(first)}` : 'unknown failure'
  return new Error(`redis: ${message}`)
}

/** Redis replies and writes nothing: it is a replica, it is full, it is a node of a Cluster, or this user may not. */
export class RedisRefusesWrites extends Error {
  override readonly name = 'RedisRefusesWrites'

  constructor(reply: string) {
    super(`redis takes no writes: ${reply}`)
  }
}

/** Whether Redis itself replied with the error: the library makes these of error replies alone. */
export const isErrorReply = (error: unknown): error is Error =>
  error instanceof Error && error.name === 'ReplyError'

/** No retry helps: user, password or database of the URL are wrong. */
export class RedisLoginRejected extends Error {
  override readonly name = 'RedisLoginRejected'

  constructor({ message }: Error) {
    super(`Redis rejected the login: ${message}`)
  }
}

/** What servers, nodes of a Cluster and Sentinels reply; the last two within a longer text of the library. */
const rejection = /\b(WRONGPASS|NOAUTH|ERR invalid password|ERR DB index is out of range)\b/

const isLoginRejection = ({ message }: Error): boolean => rejection.test(message)

/** The hash slot of a key, or of its hash tag. */
export const slotOf = (key: string): number => keySlot(key)

const slotCount = 16_384

/**
 * For each hash slot of a cluster the smallest number that lies in it, as a hash tag: `name:{<tag>}` is then a key of that slot. Services
 * in any language compute the same: `docs/guides/ask-redis.md`. About 110,000 numbers are tried, in a tenth of a second.
 */
export const slotTags = (): readonly string[] => {
  const tags: string[] = []
  for (let number = 0, left = slotCount; left > 0; number += 1) {
    const tag = String(number)
    const slot = slotOf(tag)
    if (tags[slot] !== undefined) continue
    tags[slot] = tag
    left -= 1
  }
  return tags
}

/** There never is one: Redis judges a write before it looks for the key. */
const probeKey = 'cardea:probe'

const loneNode = 'it is a node of a Redis Cluster, and the URL is that of a single server'

/** A node of a Cluster takes the keys of its own slots, so a write alone does not tell. */
const assertNoClusterNode = async (single: Redis): Promise<void> => {
  const info = await single.info('cluster').catch((error: unknown) => {
    // Then nobody can tell.
    if (isErrorReply(error) && error.message.startsWith('NOPERM')) return ''
    throw error
  })
  if (/^cluster_enabled:1/m.test(info)) throw new RedisRefusesWrites(loneNode)
}

/** A key for each master: one that is full or away refuses nothing for the others. */
const keysOfMasters = ({ slots }: Cluster, tags: readonly string[]): readonly string[] => {
  const slotOf = new Map(slots.map(([master], slot) => [master, slot]))
  const keys = [...slotOf.values()].map((slot) => `${probeKey}:{${tags[slot]}}`)
  return keys.length > 0 ? keys : [probeKey]
}

/**
 * Asks for a write that changes nothing, in a Cluster for one in each master.
 * @throws RedisRefusesWrites, or an error that tells why Redis cannot be asked
 */
const writeProbe = (client: Redis | Cluster): (() => Promise<void>) => {
  const tags = client instanceof Cluster ? slotTags() : []
  // What the server is can change only with the connection.
  let isKnownSingle = false
  client.on('close', () => {
    isKnownSingle = false
  })
  return async function assertTakesWrites() {
    // INFO is a part of the handshake, so it would be sent, and waited for, on a connection that is only being made.
    if (client.status !== 'ready') throw redisFailure(new Error('there is no connection'))
    try {
      if (!(client instanceof Cluster) && !isKnownSingle) {
        await assertNoClusterNode(client)
        isKnownSingle = true
      }
      const keys = client instanceof Cluster ? keysOfMasters(client, tags) : [probeKey]
      await Promise.all(keys.map((key) => client.set(key, '1', 'XX')))
    } catch (error) {
      if (error instanceof RedisRefusesWrites) throw error
      throw isErrorReply(error) ? new RedisRefusesWrites(error.message) : redisFailure(error)
    }
  }
}

export type RedisClient = Redis | Cluster

/**
 * A frozen Redis keeps its connections open. After this many command timeouts without a byte while responses are due, the connection is
 * closed. From then on everything falls back at once and no longer waits for each command to time out.
 */
const silentTimeouts = 2.5

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

export type SentinelLogin = { readonly username: string | undefined; readonly password: string }

export type ClientOptions = {
  readonly random: Random
  /** How to log in to Sentinels; without it they are asked without. */
  readonly sentinel?: SentinelLogin | undefined
  /** One command, response included, in milliseconds. */
  readonly commandTimeoutMs: number
  /** Told of a write that a replica refused; the connection is made anew then. */
  readonly onReadOnly: (error: Error) => void
}

/** Connects at once. */
const clientFor = (
  address: RedisAddress,
  { random, sentinel, onReadOnly, commandTimeoutMs }: ClientOptions,
): RedisClient => {
  const tls = address.tls ? { tls: {} } : {}
  const common = {
    ...tls,
    ...(address.username !== undefined && { username: address.username }),
    ...(address.password !== undefined && { password: address.password }),
    commandTimeout: commandTimeoutMs,
    socketTimeout: silentTimeouts * commandTimeoutMs,
    connectTimeout: address.kind === 'single' ? connectTimeoutMs : nodeTimeoutMs,
    // A command that was lost with its connection is not sent again: its caller has fallen back long ago, and an
    // increment sent twice counts twice.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // After a fail-over behind one name we may still hold the old primary, which now refuses writes.
    reconnectOnError: (error: Error) => {
      const isReadOnly = error.message.startsWith('READONLY')
      if (isReadOnly) onReadOnly(error)
      return isReadOnly
    },
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
    ...(sentinel?.username !== undefined && { sentinelUsername: sentinel.username }),
    ...(sentinel && { sentinelPassword: sentinel.password }),
    ...(address.tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
  })
}

export type RedisConnection = {
  /**
   * For single commands and for libraries. In a cluster each command may name keys of one slot only. Commands that wait on
   * purpose (`BLPOP`, `XREAD BLOCK`) are not for this connection: it would be given up as frozen.
   */
  readonly client: RedisClient
  readonly isReady: () => boolean
  /** Why it is not ready: what the present outage began with, as `onError` was told. */
  readonly outage: () => Error | undefined
  /**
   * Asks for a write that changes nothing, and rejects within the command timeout when Redis does not reply. A Redis that replies may still
   * be of no use: then an outage begins, until this succeeds again.
   * @throws RedisRefusesWrites
   */
  readonly assertTakesWrites: () => Promise<void>
  /** Whether `assertTakesWrites` rejected because Redis replies and takes no writes. */
  readonly refusesWrites: (error: unknown) => boolean
  /**
   * Resolves when Redis let this process in, is away, or has said nothing for so long.
   * @throws RedisLoginRejected
   */
  readonly assertLogin: (patienceMs: number) => Promise<void>
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
  /** How to log in to Sentinels; without it they are asked without. */
  readonly sentinel?: SentinelLogin
  /** Told once an outage, not once a retry. The error holds no password and no command. */
  readonly onError: (error: Error) => void
  /** Told at the end of each outage what `onError` was told at its beginning. */
  readonly onRecovery?: (outage: Error) => void
  readonly random: Random
  /** One command, response included, in milliseconds. Then it fails and its caller falls back. */
  readonly commandTimeoutMs: number
}

/** While Redis takes no writes: somebody may make room, or make it the primary. */
const lookAgainEveryMs = 1000

/** What an outage began with, told once, and its end. */
const followOutages = (
  onError: RedisOptions['onError'],
  onRecovery: RedisOptions['onRecovery'],
) => {
  let outage: Error | undefined
  return {
    current: () => outage,
    isRefusal: () => outage instanceof RedisRefusesWrites,
    begin: (error: Error): void => {
      if (outage) return
      outage = error
      onError(error)
    },
    end: (): void => {
      if (outage) onRecovery?.(outage)
      outage = undefined
    },
  }
}

/** To be called before the first event: the first word of Redis may come at any time after that. */
const loginWatch = (client: RedisClient): RedisConnection['assertLogin'] => {
  const firstWord = new Promise<Error | undefined>((resolve) => {
    client.once('ready', () => resolve(undefined))
    client.once('error', (error: unknown) => resolve(redisFailure(error)))
  })
  return async (patienceMs) => {
    const waiting = new AbortController()
    const { signal } = waiting
    const enough = pause(patienceMs, undefined, { signal }).catch(() => undefined)
    const failure = await Promise.race([firstWord, enough])
    waiting.abort()
    if (failure && isLoginRejection(failure)) throw new RedisLoginRejected(failure)
  }
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
  { onError, onRecovery, ...options }: RedisOptions,
): RedisConnection => {
  const outages = followOutages(onError, onRecovery)
  const { begin, end, isRefusal } = outages
  const client = clientFor(parseRedisUrl(url), {
    ...options,
    onReadOnly: ({ message }) => begin(new RedisRefusesWrites(message)),
  })
  const isReady = () => client.status === 'ready'
  const report = (error: unknown) => begin(redisFailure(error))
  const probe = writeProbe(client)
  const assertTakesWrites = async () => {
    try {
      await probe()
    } catch (error) {
      if (error instanceof RedisRefusesWrites) begin(error)
      throw error
    }
    if (isReady()) end()
  }
  const assertLogin = loginWatch(client)
  client.on('error', report)
  // A connection that the server closed, and a cluster that is not whole, raise no error: they only try again.
  client.on('reconnecting', () => report(new Error('the connection was lost or could not be made')))
  client.on('ready', () => {
    // A replica is left and found again at each write that it refuses: that is no recovery.
    if (!isRefusal()) end()
  })
  const timer = setInterval(() => {
    if (isRefusal() && isReady()) void assertTakesWrites().catch(() => undefined)
  }, lookAgainEveryMs).unref()

  const onReady = (callback: () => void) => {
    client.on('ready', callback)
    if (client instanceof Cluster) onEachNodeReady(client, callback)
    if (isReady()) callback()
  }
  const slotMasters =
    client instanceof Cluster ? () => client.slots.map(([master]) => master) : undefined
  const close = async () => {
    clearInterval(timer)
    if (isReady()) await client.quit().catch(() => undefined)
    client.disconnect()
  }
  return {
    client,
    isReady,
    outage: outages.current,
    assertTakesWrites,
    refusesWrites: (error) => error instanceof RedisRefusesWrites,
    assertLogin,
    onReady,
    slotMasters,
    close,
  }
}

const isRefusal = (error: Error): boolean => error instanceof RedisRefusesWrites

const outageText = (error: Error): string =>
  isRefusal(error) ? 'redis takes no writes' : 'redis is away'

/** How an outage, and its end, are reported. */
export const redisOutageReports = ({
  report,
  reportEnd,
}: {
  readonly report: (error: unknown, what: string) => void
  readonly reportEnd: (what: string, begun: readonly string[]) => void
}): Pick<RedisOptions, 'onError' | 'onRecovery'> => ({
  onError: (error) => report(error, outageText(error)),
  onRecovery: (outage) =>
    reportEnd(isRefusal(outage) ? 'redis takes writes again' : 'redis answers again', [
      outageText(outage),
    ]),
})
