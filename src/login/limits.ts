import { accountErrors } from '../accounts/index.ts'
import { type BoundedQueue, boundedQueue } from '../lib/bounded-queue.ts'
import type { Clock } from '../lib/machine.ts'
import { loginLimits } from './admit-attempt.ts'
import { actBudget, type LoginLimits, loginLimitRules, type SpendAct } from './login-limits.ts'
import { memoryCounters, type RedisCounterOptions, redisCounters } from './redis-counters.ts'

/**
 * The shares of the pool that unauthenticated callers can use, one for each kind of work that they can cause in Postgres. Together they get
 * at most five eighths of eight connections, so that refreshes and sessions always find one. Each kind has its own queue, so that a flood
 * of one does not block the others. Tokens and handles need no share, because a signature or a MAC stops forged ones. `/health/ready` needs
 * none, because one query serves all its requests.
 */
type UnprovenShares = {
  /** Accounts by e-mail address, before the password is checked. */
  readonly accountLookUps: BoundedQueue
  /** Records of refused logins. */
  readonly refusalRecords: BoundedQueue
  /** Service clients by credentials that have not been verified yet. */
  readonly clientLookUps: BoundedQueue
}

type ShareSettings = {
  readonly databasePoolSize: number
  readonly databaseConnectTimeoutMs: number
  readonly hashQueue: number
}

/** The default size of the hash queue. */
const maxWaiting = 64

/** A refusal that cost a hash must be recorded, so these may wait longer. */
const maxRecordsWaiting = 1_000
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
  // As long as requests wait for a connection of the pool.
  const lookUpWaitMs = databaseConnectTimeoutMs
  return {
    accountLookUps: share(1 / 4, Math.max(maxWaiting, hashQueue), lookUpWaitMs),
    refusalRecords: share(1 / 8, maxRecordsWaiting, recordWaitMs),
    clientLookUps: share(1 / 4, maxWaiting, lookUpWaitMs),
  }
}

/**
 * What users, service clients and unauthenticated callers may do: how often, counted by all processes on one Redis together, and how much
 * at once.
 */
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
