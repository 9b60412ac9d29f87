import { setTimeout as pause } from 'node:timers/promises'
import keySlot from 'cluster-key-slot'
import { Cluster, Redis } from 'ioredis'
import type { Random } from '../../lib/machine.ts'
import { parseRedisUrl, type RedisAddress } from '../../lib/redis-url.ts'

/** Trying several addresses of one name ends in an AggregateError, whose own message is empty. */
const firstOf = (error: unknown): unknown =>
  error instanceof AggregateError ? error.errors[0] : error

/** A cluster error only says that no node replied properly. The cause is the error of the last node. */
const behind = (error: Error): string => {
  const cause: unknown = Reflect.get(error, 'lastNodeError')
  return cause instanceof Error ? ` (${cause.message})` : ''
}

/**
 * The message of an ioredis error and nothing else: its errors carry the failed command with all arguments, and the first command of a
 * connection contains the password.
 */
export const redisFailure = (error: unknown): Error => {
  const first = firstOf(error)
  const message = first instanceof Error ? `${first.message}${behind(first)}` : 'unknown failure'
  return new Error(`redis: ${message}`)
}

/** Redis replies but accepts no writes: it is a replica, it is full, it is a node of a Cluster, or the user lacks the permission. */
export class RedisRefusesWrites extends Error {
  override readonly name = 'RedisRefusesWrites'

  constructor(reply: string) {
    super(`redis takes no writes: ${reply}`)
  }
}

/** Whether Redis itself replied with the error. The library uses this name only for error replies. */
export const isErrorReply = (error: unknown): error is Error =>
  error instanceof Error && error.name === 'ReplyError'

/** Retries do not help: user, password or database of the URL are wrong. */
export class RedisLoginRejected extends Error {
  override readonly name = 'RedisLoginRejected'

  constructor({ message }: Error) {
    super(`Redis rejected the login: ${message}`)
  }
}

/** The replies of servers, Cluster nodes and Sentinels. The last two are inside a longer text of the library. */
const rejection = /\b(WRONGPASS|NOAUTH|ERR invalid password|ERR DB index is out of range)\b/

const isLoginRejection = ({ message }: Error): boolean => rejection.test(message)

/** The hash slot of a key, or of its hash tag. */
export const slotOf = (key: string): number => keySlot(key)

const slotCount = 16_384

/**
 * For each hash slot of a cluster, the smallest number in it as a hash tag: `name:{<tag>}` is then a key of that slot. Services in any
 * language compute the same: `docs/guides/ask-redis.md`. It tries about 110,000 numbers in a tenth of a second.
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

/** This key never exists: Redis checks the permission to write before it looks for the key. */
const probeKey = 'cardea:probe'

const loneNode = 'it is a node of a Redis Cluster, and the URL is that of a single server'

/** A node of a Cluster accepts keys of its own slots, so a write alone does not detect it. */
const assertNoClusterNode = async (single: Redis): Promise<void> => {
  const info = await single.info('cluster').catch((error: unknown) => {
    // Without the permission it cannot be detected.
    if (isErrorReply(error) && error.message.startsWith('NOPERM')) return ''
    throw error
  })
  if (/^cluster_enabled:1/m.test(info)) throw new RedisRefusesWrites(loneNode)
}

/** A key for each master, so that a full or unreachable one does not affect the others. */
const keysOfMasters = ({ slots }: Cluster, tags: readonly string[]): readonly string[] => {
  const slotOf = new Map(slots.map(([master], slot) => [master, slot]))
  const keys = [...slotOf.values()].map((slot) => `${probeKey}:{${tags[slot]}}`)
  return keys.length > 0 ? keys : [probeKey]
}

/**
 * Sends a write that changes nothing; in a Cluster one for each master.
 * @throws RedisRefusesWrites, or the error that prevented it
 */
const writeProbe = (client: Redis | Cluster): (() => Promise<void>) => {
  const tags = client instanceof Cluster ? slotTags() : []
  // The kind of the server can change only with the connection.
  let isKnownSingle = false
  client.on('close', () => {
    isKnownSingle = false
  })
  return async function assertTakesWrites() {
    // INFO is part of the handshake, so on a connection that is being made it would be sent and waited for.
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
 * closed. Then everything falls back at once instead of waiting for each command to time out.
 */
const silentTimeouts = 2.5

/** No request waits for an attempt to connect, so it may take as long as TLS takes on a busy machine. */
const connectTimeoutMs = 10_000

/** One of several nodes may drop packets. Then the next one is tried soon. */
const nodeTimeoutMs = 1000

const longestRetryMs = 2000

/** Doubles from 50 ms to 2 s and never gives up, plus a random part of up to a quarter, so that processes do not return in step. */
const retryDelayMs = (attempt: number, random: Random): number => {
  const delayMs = Math.min(50 * 2 ** Math.min(attempt - 1, 10), longestRetryMs)
  return delayMs + (delayMs / 4) * (random(1).readUInt8() / 255)
}

export type SentinelLogin = { readonly username: string | undefined; readonly password: string }

export type ClientOptions = {
  readonly random: Random
  /** The login for Sentinels. Left out: they need none. */
  readonly sentinel?: SentinelLogin | undefined
  /** The time limit of one command including its response, in milliseconds. */
  readonly commandTimeoutMs: number
  /** Called when a replica refused a write; the client then reconnects. */
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
    // A command that was lost with its connection is not sent again: its caller has fallen back already, and an increment sent twice counts
    // twice.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // After a fail-over behind one name the connection may still lead to the old primary, which now refuses writes.
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
      // By default ioredis resolves the name first, and certificates are not issued for the address.
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
   * For single commands and for libraries. In a cluster each command may use keys of one slot only. Commands that wait on purpose (`BLPOP`,
   * `XREAD BLOCK`) must not use this connection: it would be closed as frozen.
   */
  readonly client: RedisClient
  readonly isReady: () => boolean
  /** Why it is not ready: the error that started the current outage, as passed to `onError`. */
  readonly outage: () => Error | undefined
  /**
   * Sends a write that changes nothing. Rejects within the command timeout when Redis does not reply. When Redis replies but refuses the
   * write, an outage begins, until this succeeds again.
   * @throws RedisRefusesWrites
   */
  readonly assertTakesWrites: () => Promise<void>
  /** Whether `assertTakesWrites` rejected because Redis replies but accepts no writes. */
  readonly refusesWrites: (error: unknown) => boolean
  /**
   * Resolves when Redis accepted the login, is unreachable, or has not replied for this long.
   * @throws RedisLoginRejected
   */
  readonly assertLogin: (patienceMs: number) => Promise<void>
  /**
   * Calls the callback for every connection made, including the current one, and in a cluster for each connection to a node. Redis may have
   * lost everything while it was unreachable, so everything is written again. The callback must not throw, and must handle the failures of
   * what it starts.
   */
  readonly onReady: (callback: () => void) => void
  /** For a cluster: the last known address of each slot's master. A command that finds another master or none triggers a reread. */
  readonly slotMasters: (() => readonly (string | undefined)[]) | undefined
  /** Lets running commands finish, then closes permanently. Never throws. */
  readonly close: () => Promise<void>
}

export type RedisOptions = {
  /** The login for Sentinels. Left out: they need none. */
  readonly sentinel?: SentinelLogin
  /** Called once per outage, not for every retry. The error contains no password and no command. */
  readonly onError: (error: Error) => void
  /** Called at the end of each outage with the error that `onError` got at its start. */
  readonly onRecovery?: (outage: Error) => void
  readonly random: Random
  /** The time limit of one command including its response, in milliseconds. After it the command fails and its caller falls back. */
  readonly commandTimeoutMs: number
}

/** While Redis accepts no writes: an operator may free memory, or make it the primary. */
const lookAgainEveryMs = 1000

/** Reports the start and the end of each outage once. */
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

/** Call it before the first event, because Redis may reply at any time after that. */
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

/** When a single master restarts, the cluster as a whole stays ready. */
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
 * Connects in the background and retries forever, so that the service starts and runs while Redis is unreachable. Commands then fail at
 * once instead of waiting in a queue.
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
  // A connection that the server closed, and an incomplete cluster, raise no error: they only reconnect.
  client.on('reconnecting', () => report(new Error('the connection was lost or could not be made')))
  client.on('ready', () => {
    // The client reconnects to a replica after each refused write. That is no recovery.
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

/** Reports an outage and its end. */
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
