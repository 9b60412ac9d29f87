import { accountErrors } from '../accounts/index.ts'
import { type BoundedQueue, boundedQueue } from '../lib/bounded-queue.ts'
import type { Clock } from '../lib/machine.ts'
import { loginLimits } from './admit-attempt.ts'
import { actBudget, type LoginLimits, loginLimitRules, type SpendAct } from './login-limits.ts'
import { memoryCounters, type RedisCounterOptions, redisCounters } from './redis-counters.ts'

/**
 * The shares of the pool that callers who have proven nothing can hold, one for each thing that they can make Postgres do: at most five
 * eighths of eight connections together, so that refreshes and sessions always find one. Each has a queue of its own: a flood of one kind
 * keeps nobody from the other. Tokens and handles are not here, because a signature or a MAC stops those that are made up, and
 * `/health/ready` is not, because it asks once for everybody.
 */
type UnprovenShares = {
  /** Of accounts by e-mail address, before the password is judged. */
  readonly accountLookUps: BoundedQueue
  /** Of refused logins. */
  readonly refusalRecords: BoundedQueue
  /** Of service clients by credentials that were never seen to be right. */
  readonly clientLookUps: BoundedQueue
}

type ShareSettings = {
  readonly databasePoolSize: number
  readonly databaseConnectTimeoutMs: number
  readonly hashQueue: number
}

/** As many as there may be in the queue for a hash by default. */
const mostWaiting = 64

/** A refusal that was hashed must be recorded, so these wait longer. */
const mostRecordsWaiting = 1_000
const recordWaitMs = 10_000

const unprovenShares = ({
  databasePoolSize,
  databaseConnectTimeoutMs,
  hashQueue,
}: ShareSettings): UnprovenShares => {
  const share = (fraction: number, queue: number, maxWaitMs: number) =>
    boundedQueue({
      concurrency: Math.max(1, Math.floor(databasePoolSize * fraction)),
      queue,
      maxWaitMs,
      refusal: () => accountErrors.error('server_busy', { retryAfterSeconds: 1 }),
    })
  // As long as anybody waits for a connection of the pool.
  const lookUpWaitMs = databaseConnectTimeoutMs
  return {
    accountLookUps: share(1 / 4, Math.max(mostWaiting, hashQueue), lookUpWaitMs),
    refusalRecords: share(1 / 8, mostRecordsWaiting, recordWaitMs),
    clientLookUps: share(1 / 4, mostWaiting, lookUpWaitMs),
  }
}

/** What people, service clients and strangers may do: how often, counted together by all processes on one Redis, and how much at once. */
export type Limits = {
  readonly logins: LoginLimits
  readonly spendAct: SpendAct
  readonly unproven: UnprovenShares
}

export type LimitSettings = {
  readonly loginFailuresPerSource: number
  readonly loginFailuresPerNetwork: number
  readonly loginFailuresGlobal: number
  readonly loggedActsPerAccount: number
} & ShareSettings

export type OpenLimitsDeps = {
  readonly settings: LimitSettings
  /** Identifiers are counted by their keyed hash. */
  readonly identifierKey: Buffer
  readonly redis: Pick<RedisCounterOptions, 'client'> | undefined
  readonly clock: Clock
  readonly report: (error: unknown, what: string) => void
}

export function openLimits(deps: OpenLimitsDeps): Limits {
  const { settings, identifierKey, redis, clock, report } = deps
  const onError = (error: unknown) => report(error, 'limits are counted in this process')
  const counters = redis
    ? redisCounters({ client: redis.client, clock, onError })
    : memoryCounters(clock)
  const rules = loginLimitRules({
    perSource: settings.loginFailuresPerSource,
    perNetwork: settings.loginFailuresPerNetwork,
    global: settings.loginFailuresGlobal,
  })
  const { loggedActsPerAccount } = settings
  return {
    logins: loginLimits({ counters, clock, identifierKey, rules, onError }),
    spendAct: actBudget({ counters, loggedActsPerAccount }),
    unproven: unprovenShares(settings),
  }
}
