import type { RedisConnection } from '../infra/redis/redis.ts'
import type { Clock } from '../lib/clock.ts'
import type { Revocation, RevocationTarget } from './revocation.ts'
import type { RevocationMirror } from './revocation-mirror.ts'

/** What a service in any language asks for: `docs/guides/ask-redis.md`. */
const keyOf = (target: RevocationTarget): string =>
  target.kind === 'everyone'
    ? 'cardea:revoked:everyone'
    : `cardea:revoked:${target.kind}:${target.key}`

/** Says that everything was written since Redis was last empty. Its absence means a flush. */
const intactKey = 'cardea:mirror:intact'

/** Entries arrive in any order, from several instances: an epoch may only rise. */
const raiseEpoch = `
local known = tonumber(redis.call('GET', KEYS[1]))
if not known or known < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 0`

/** Commands under way at once: a bounded share of memory, and of Redis. */
const batchSize = 500

export const redisRevocationMirror = (redis: RedisConnection, clock: Clock): RevocationMirror => {
  const { client } = redis
  // A restart that kept its file may still have lost the last second, so each new connection counts as a loss.
  let connections = 0
  let intactAt: number | undefined
  let checkedAt = 0
  redis.onReady(() => {
    connections += 1
  })

  const writeOne = async ({ target, notAfterMs }: Revocation): Promise<void> => {
    const leftMs = Math.ceil(notAfterMs - clock.nowMs())
    if (leftMs <= 0) return
    const key = keyOf(target)
    if ('minEpoch' in target) await client.eval(raiseEpoch, 1, key, target.minEpoch, leftMs)
    else await client.set(key, '1', 'PX', leftMs)
  }

  return {
    write: async (entries) => {
      for (let at = 0; at < entries.length; at += batchSize) {
        await Promise.all(entries.slice(at, at + batchSize).map(writeOne))
      }
    },
    isIntact: async () => {
      checkedAt = connections
      return intactAt === connections && (await client.exists(intactKey)) === 1
    },
    markIntact: async () => {
      await client.set(intactKey, '1')
      intactAt = checkedAt
    },
  }
}
