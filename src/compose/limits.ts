import { accountErrors } from '../accounts/index.ts'
import type { Config } from '../config/index.ts'
import { keyLabels } from '../keys/index.ts'
import { type BoundedQueue, boundedQueue } from '../lib/bounded-queue.ts'
import {
  actBudget,
  type LoginLimits,
  loginLimitRules,
  loginLimits,
  memoryCounters,
  redisCounters,
  type SpendAct,
} from '../login/index.ts'
import type { Core } from './core.ts'

/**
 * The shares of the pool that callers who have proven nothing can hold, one for each thing that they can make Postgres do: at most five
 * eighths of eight connections together, so that refreshes and sessions always find one. Each has a queue of its own: a flood of one kind
 * keeps nobody from the other. Tokens and handles are not here, because a signature or a MAC stops those that are made up, and
 * `/health/ready` is not, because it asks once for everybody.
 */
type UnprovenShares = {
  /** Of accounts by e-mail address, before the password is judged. */
  readonly accountLookUps: BoundedQueue
  /** Of refused log-ins. */
  readonly refusalRecords: BoundedQueue
  /** Of service clients by credentials that were never seen to be right. */
  readonly clientLookUps: BoundedQueue
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
}: Config): UnprovenShares => {
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

export type Limits = {
  readonly logins: LoginLimits
  readonly spendAct: SpendAct
  readonly unproven: UnprovenShares
}

/** What people, service clients and strangers may do: how often, counted together by all processes on one Redis, and how much at once. */
export const composeLimits = ({ config, machine, redis, ring }: Core): Limits => {
  const [identifierKey] = ring.derive(keyLabels.limitIdentifier)
  const { clock } = machine
  const onError = (error: unknown) => machine.report(error, 'limits are counted in this process')
  const counters = redis
    ? redisCounters({ client: redis.client, clock, onError })
    : memoryCounters(clock)
  return {
    unproven: unprovenShares(config),
    spendAct: actBudget({ ...config, counters }),
    logins: loginLimits({
      counters,
      identifierKey: identifierKey.key,
      rules: loginLimitRules({
        perSource: config.loginFailuresPerSource,
        perNetwork: config.loginFailuresPerNetwork,
        global: config.loginFailuresGlobal,
      }),
      onError,
    }),
  }
}
