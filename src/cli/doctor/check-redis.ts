import { setTimeout as sleep } from 'node:timers/promises'
import type { Core } from '../../compose/core.ts'
import { type Finding, fail, failIn, ok, skip } from './finding.ts'

type Connection = NonNullable<Core['redis']>

const readyWithinMs = 2000
const lookEveryMs = 20

const isUp = async (redis: Connection, { clock }: Core['machine']): Promise<boolean> => {
  const giveUpMs = clock.monotonicMs() + readyWithinMs
  while (!redis.isReady()) {
    if (clock.monotonicMs() > giveUpMs) return false
    await sleep(lookEveryMs)
  }
  return true
}

/** Undefined: this user may not ask. */
const mayAsk = async <T>(ask: () => Promise<T>): Promise<T | undefined> => {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('NOPERM')) return undefined
    throw error
  }
}

/** R71: a Redis that evicts forgets revocations, and services that ask it would take dead tokens. */
const checkPolicy = async ({ client }: Connection): Promise<Finding> => {
  const info = await mayAsk(() => client.info('memory'))
  const policy = info && /^maxmemory_policy:(\S+)/m.exec(info)?.[1]
  if (!policy) return skip('redis-memory', 'this user may not ask for the eviction policy')
  return policy === 'noeviction'
    ? ok('redis-memory', 'nothing is evicted')
    : fail('redis-memory', `maxmemory-policy is ${policy}`, 'set maxmemory-policy noeviction')
}

/** R129. Whoever may read the list of users may do much more: the command is of the category @admin. */
const checkUser = async ({ client }: Connection, production: boolean): Promise<Finding> => {
  const isAdmin = (await mayAsk(() => client.call('ACL', 'LIST'))) !== undefined
  return isAdmin
    ? failIn(production)(
        'redis-user',
        'the user may administer Redis',
        'make one with ACL SETUSER … ~cardea:* +@all -@admin -@dangerous +info and name it in REDIS_URL',
      )
    : ok('redis-user', 'may not administer Redis')
}

export const checkRedis = async ({ config, redis, machine }: Core): Promise<readonly Finding[]> => {
  if (!redis) return [skip('redis', 'none is set: limits are counted in the process')]
  if (!(await isUp(redis, machine))) {
    const why = redis.outage()
    const text = `does not answer${why ? ` (${why.message})` : ''}; log-ins are limited more strictly meanwhile`
    const fix =
      'check REDIS_URL, that Redis runs and lets this user in, and with TLS that its certificate is trusted (NODE_EXTRA_CA_CERTS)'
    return [fail('redis', text, fix)]
  }
  await redis.ping()
  return [
    ok('redis', 'answers'),
    await checkPolicy(redis),
    await checkUser(redis, config.production),
  ]
}
