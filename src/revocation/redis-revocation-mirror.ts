import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import type { RedisConnection } from '../infra/redis/redis.ts'
import type { Clock } from '../lib/clock.ts'
import type { RevocationMirror } from './revocation-mirror.ts'

/** What a service in any language asks for: `docs/guides/ask-redis.md`. */
const keyOf = ({ kind, key }: RevocationEntry): string =>
  kind === 'everyone' ? 'cardea:revoked:everyone' : `cardea:revoked:${kind}:${key}`

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

  const writeOne = async (entry: RevocationEntry): Promise<void> => {
    const leftMs = Math.ceil(entry.notAfter * 1000 - clock.nowMs())
    if (leftMs <= 0) return
    const key = keyOf(entry)
    if (entry.minEpoch === undefined) await client.set(key, '1', 'PX', leftMs)
    else await client.eval(raiseEpoch, 1, key, entry.minEpoch, leftMs)
  }

  return {
    isReady: redis.isReady,
    write: async (entries) => {
      let batch: Promise<void>[] = []
      for (const entry of entries) {
        batch.push(writeOne(entry))
        if (batch.length < batchSize) continue
        await Promise.all(batch)
        batch = []
      }
      await Promise.all(batch)
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
