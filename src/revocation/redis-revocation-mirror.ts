import type { RevocationEntry } from '../../packages/verifier/src/wire.ts'
import type { RedisConnection } from '../infra/redis/redis.ts'
import type { Clock } from '../lib/clock.ts'
import { newId } from '../lib/id.ts'
import type { Random } from '../lib/random.ts'
import type { RevocationMirror } from './revocation-mirror.ts'

/** What a service in any language asks for: `docs/guides/ask-redis.md`. */
const keyOf = ({ kind, key }: RevocationEntry): string =>
  kind === 'everyone' ? 'cardea:revoked:everyone' : `cardea:revoked:${kind}:${key}`

/** Says that everything was written since Redis was last empty. Its absence means a flush. */
const intactKey = 'cardea:mirror:intact'

/**
 * Stands while one process writes everything, and goes with a flush: what it had written by then is lost, so that nothing is complete at
 * the end. In a cluster the braces put it on the node of the mark.
 */
const begunKeyOf = (id: string): string => `cardea:mirror:begun:${id}:{${intactKey}}`

/** Seconds: longer than it takes to write all entries there can be. A process that ends meanwhile leaves it behind for so long. */
const begunFor = 600

const markUnlessLost = `
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
redis.call('SET', KEYS[2], '1')
return 1`

/** Entries arrive in any order, from several instances: an epoch may only rise. */
const raiseEpoch = `
local known = tonumber(redis.call('GET', KEYS[1]))
if not known or known < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 0`

/** Commands under way at once: a bounded share of memory, and of Redis. */
const batchSize = 500

export const redisRevocationMirror = (
  redis: RedisConnection,
  { clock, random }: { readonly clock: Pick<Clock, 'nowMs'>; readonly random: Random },
): RevocationMirror => {
  const { client } = redis
  const begunKey = begunKeyOf(newId(random))
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
    beginRewrite: async () => {
      await client.set(begunKey, '1', 'EX', begunFor)
    },
    markIntact: async () => {
      const isMarked = (await client.eval(markUnlessLost, 2, begunKey, intactKey)) === 1
      if (isMarked) intactAt = checkedAt
    },
  }
}
