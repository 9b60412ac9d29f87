import { setTimeout as sleep } from 'node:timers/promises'
import type { Core } from '../../core.ts'
import { type Finding, fail, failIn, ok, skip, warn } from './finding.ts'

type Connection = NonNullable<Core['redis']>

const readyWithinMs = 2000
const lookEveryMs = 20

/** Above this share of `maxmemory` the next wave of logins may fill it. */
const nearlyFullPercent = 90

/** As for Postgres: no decision uses this clock, but a server without a time service has other faults. */
const skewWarnMs = 1000

const isUp = async (redis: Connection, { clock }: Core['machine']): Promise<boolean> => {
  const giveUpMs = clock.monotonicMs() + readyWithinMs
  while (!redis.isReady()) {
    if (clock.monotonicMs() > giveUpMs) return false
    await sleep(lookEveryMs)
  }
  return true
}

/** Undefined: this user lacks the permission. */
const mayAsk = async <T>(ask: () => Promise<T>): Promise<T | undefined> => {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('NOPERM')) return undefined
    throw error
  }
}

const fixes: readonly (readonly [reply: RegExp, fix: string])[] = [
  [/READONLY/, 'let REDIS_URL name the primary, or the Sentinels: redis+sentinel://'],
  [/OOM/, 'raise maxmemory, or remove the keys that are not Cardea’s'],
  [/node of a Redis Cluster/, 'write REDIS_URL as redis+cluster:// with the nodes between commas'],
  [/NOPERM/, 'let the user write keys that begin with cardea: (deploy/redis/users.acl)'],
]

/** The service writes all the time, so a Redis that only replies cannot share limits and revocations. */
const checkWrites = async (redis: Connection): Promise<Finding> => {
  try {
    await redis.assertTakesWrites()
    return ok('redis-writes', 'accepts the writes of the service')
  } catch (error) {
    // The client reconnects after a replica refused a write.
    const known = [error, redis.outage()].find(redis.refusesWrites)
    if (!(known instanceof Error)) throw error
    const fix = fixes.find(([reply]) => reply.test(known.message))?.[1]
    return fail('redis-writes', known.message, fix ?? 'correct what Redis reports in this error')
  }
}

/** A Redis that evicts keys loses revocations, and services that read it would accept revoked tokens. */
const checkMemory = async ({ client }: Connection): Promise<readonly Finding[]> => {
  const info = await mayAsk(() => client.info('memory'))
  const fields = new Map(
    info?.split('\r\n').map((line) => {
      const [field = '', value] = line.split(':')
      return [field, value]
    }),
  )
  const policy = fields.get('maxmemory_policy')
  if (!policy) return [skip('redis-memory', 'this user may not read the eviction policy')]
  const eviction =
    policy === 'noeviction'
      ? ok('redis-memory', 'nothing is evicted')
      : fail('redis-memory', `maxmemory-policy is ${policy}`, 'set maxmemory-policy noeviction')
  const percent = Math.round(
    (100 * Number(fields.get('used_memory'))) / Number(fields.get('maxmemory')),
  )
  // Without a limit the division has no finite result.
  const isNearlyFull = Number.isFinite(percent) && percent > nearlyFullPercent
  const text = `${percent} % of maxmemory is used`
  return isNearlyFull ? [eviction, warn('redis-memory', text, 'raise maxmemory')] : [eviction]
}

/** A user that may list users can do much more: the command is in the category @admin. */
const checkUser = async ({ client }: Connection, production: boolean): Promise<Finding> => {
  const isAdmin = (await mayAsk(() => client.call('ACL', 'LIST'))) !== undefined
  return isAdmin
    ? failIn(production)(
        'redis-user',
        'the user may administer Redis',
        'make one with the rights in deploy/redis/users.acl, and name it in REDIS_URL',
      )
    : ok('redis-user', 'may not administer Redis')
}

const checkClock = async (
  { client }: Connection,
  { machine: { clock: time } }: Core,
): Promise<Finding> => {
  const reply = await mayAsk(() => client.time())
  if (!reply) return skip('redis-clock', 'this user may not read the time')
  const [seconds, microseconds] = reply.map(Number)
  const skewMs = Math.abs((seconds ?? 0) * 1000 + (microseconds ?? 0) / 1000 - time.nowMs())
  const text = `Redis and Postgres are ${Math.round(skewMs)} ms apart`
  return skewMs > skewWarnMs
    ? warn('redis-clock', text, 'let a time service (chrony, systemd-timesyncd) keep both clocks')
    : ok('redis-clock', text)
}

export const checkRedis = async (core: Core): Promise<readonly Finding[]> => {
  const { config, redis, machine } = core
  if (!redis) return [skip('redis', 'none is set: limits are counted in the process')]
  if (!(await isUp(redis, machine))) {
    const why = redis.outage()
    const text = `does not respond${why ? ` (${why.message})` : ''}; logins are limited more strictly meanwhile`
    const fix =
      'check REDIS_URL, that Redis runs and accepts this login, and with TLS that its certificate is trusted (NODE_EXTRA_CA_CERTS)'
    return [fail('redis', text, fix)]
  }
  const reachable = ok('redis', 'responds')
  const writes = await checkWrites(redis)
  // The client reconnects to a replica after each refusal, so nothing more can be checked.
  if (/READONLY/.test(writes.message)) return [reachable, writes]
  return [
    reachable,
    writes,
    ...(await checkMemory(redis)),
    await checkUser(redis, config.production),
    await checkClock(redis, core),
  ]
}
