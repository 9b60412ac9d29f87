import type { RevocationEntries, RevocationEntry } from '../../packages/verifier/src/wire.ts'
import { isErrorReply, type RedisConnection, slotOf, slotTags } from '../infra/redis/redis.ts'
import { type Clock, newId, type Random } from '../lib/machine.ts'

/** A cached form of the log for services that ask Redis directly. Postgres stays authoritative, and the cache may be lost at any moment. */
export type RevocationCache = {
  /** Whether it is reachable now. */
  readonly isReady: () => boolean
  /** Writes entries, in any order and any number of times. Throws when the cache is unreachable, which loses nothing. */
  readonly write: (entries: RevocationEntries) => Promise<void>
  /** Whether the cache still holds what was written, as far as it can tell. False after a flush or a restart. */
  readonly isIntact: () => Promise<boolean>
  /** Called before the log is read to write everything again. */
  readonly beginRewrite: () => Promise<void>
  /** Called after everything has been written. Does nothing when the cache has lost entries since `beginRewrite`. */
  readonly markIntact: () => Promise<void>
}

/** The number of parallel writes. It limits memory and the load on the store. */
const batchSize = 500

/** Calls `work` for each item, one batch at a time. Rejects with the first failure, and then starts no further batch. */
const inBatches = async <Item>(
  items: Iterable<Item>,
  work: (item: Item) => Promise<void>,
): Promise<void> => {
  let batch: Promise<void>[] = []
  for (const item of items) {
    batch.push(work(item))
    if (batch.length < batchSize) continue
    await Promise.all(batch)
    batch = []
  }
  await Promise.all(batch)
}

/** The keys that services in any language read: `docs/guides/ask-redis.md`. */
const keyOf = ({ kind, key }: RevocationEntry): string =>
  kind === 'everyone' ? 'cardea:revoked:everyone' : `cardea:revoked:${kind}:${key}`

/** Set when everything was written since Redis was last empty. If it is missing, entries were lost. */
const intactKey = 'cardea:mirror:intact'

/**
 * Exists while one process rewrites everything. A flush deletes it together with the entries written so far, and then the rewrite is not
 * complete. In a cluster the braces put it into the slot of its mark.
 */
const begunKeyOf = (id: string, tag: string): string => `cardea:mirror:begun:${id}:{${tag}}`

/** In seconds. Longer than writing the maximum number of entries takes. A process that dies in between leaves it behind for this long. */
const begunFor = 600

/** Sets the mark `KEYS[2]`, unless Redis has lost `KEYS[1]`, which was set before the log was read. */
const markUnlessLost = `
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
redis.call('SET', KEYS[2], '1')
return 1`

/** The marks of a cluster. Each master can lose its data alone, and a mark in every slot is lost with the entries of that slot. */
type SlotMarks = {
  /**
   * Whether every master has what was written, judged by one of its marks and the layout. After a loss it removes the mark of the whole at
   * once. Rejects when a master does not respond, because then the state is unknown.
   */
  readonly verify: () => Promise<boolean>
  /** Called before the log is read to write everything again. Checks every mark. */
  readonly begin: () => Promise<void>
  /** Called when Redis rejected the entry with this key: its slot is no longer complete. */
  readonly withdraw: (key: string) => Promise<void>
  /** Called after everything has been written. Sets the missing marks, and returns whether nothing was lost meanwhile. */
  readonly complete: () => Promise<boolean>
}

type Layout = readonly (readonly [slot: number, master: string])[]

const slotMarksOf = (
  { client }: Pick<RedisConnection, 'client'>,
  slotMasters: () => readonly (string | undefined)[],
  id: string,
): SlotMarks => {
  const keys = slotTags().map((tag) => ({
    mark: `${intactKey}:{${tag}}`,
    begun: begunKeyOf(id, tag),
  }))
  type Keys = (typeof keys)[number]
  /** The layout at the last check, when every slot had its mark. */
  let known: Layout = []
  let seen: Layout = []
  let lacking: Keys[] = []
  let isLost = false

  // A slot without a master has no entries and serves no requests.
  const layoutNow = (): Layout =>
    [...slotMasters().entries()].filter((one): one is [number, string] => one[1] !== undefined)

  const findLacking = async (slots: Iterable<number>): Promise<Keys[]> => {
    const found: Keys[] = []
    await inBatches(slots, async (slot) => {
      const own = keys[slot]
      if (own && (await client.exists(own.mark)) === 0) found.push(own)
    })
    return found
  }

  const withdraw = async (): Promise<void> => {
    isLost = true
    await client.del(intactKey)
  }

  const verify = async (): Promise<boolean> => {
    const layout = layoutNow()
    const slotAt = new Map(layout.map(([slot, master]) => [master, slot]))
    const knownMasters = new Set(known.map(([, master]) => master))
    // A new master may lack the last entries although it has the marks.
    const isTakenOver = known.length > 0 && [...slotAt.keys()].some((one) => !knownMasters.has(one))
    const looks = await Promise.allSettled([...slotAt.values()].map((slot) => findLacking([slot])))
    const isEmptied = looks.some((one) => one.status === 'fulfilled' && one.value.length > 0)
    if (isLost || isTakenOver || isEmptied) await withdraw()
    // Thrown only now, so that an unreachable master does not hide a loss of another.
    for (const one of looks) if (one.status === 'rejected') throw one.reason
    const isKnown = ([slot, master]: Layout[number], place: number) =>
      known[place]?.[0] === slot && known[place]?.[1] === master
    return !isLost && layout.length === known.length && layout.every(isKnown)
  }

  return {
    verify,
    withdraw: async (key) => {
      const mark = keys[slotOf(key)]?.mark
      if (mark !== undefined) await client.del(mark)
      await withdraw()
    },
    begin: async () => {
      seen = layoutNow()
      lacking = await findLacking(seen.map(([slot]) => slot))
      if (lacking.length > 0) await withdraw()
      await inBatches(lacking, async ({ begun }) => {
        await client.set(begun, '1', 'EX', begunFor)
      })
    },
    complete: async () => {
      let areSet = true
      await inBatches(lacking, async ({ begun, mark }) => {
        if ((await client.eval(markUnlessLost, 2, begun, mark)) === 0) areSet = false
      })
      isLost = false
      known = seen
      return (await verify()) && areSet
    },
  }
}

/** Entries arrive in any order from several processes, so an epoch may only rise. */
const raiseEpoch = `
local known = tonumber(redis.call('GET', KEYS[1]))
if not known or known < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 0`

export const redisRevocationCache = (
  redis: RedisConnection,
  { clock, random }: { readonly clock: Pick<Clock, 'nowMs'>; readonly random: Random },
): RevocationCache => {
  const { client } = redis
  const id = newId(random)
  const begunKey = begunKeyOf(id, intactKey)
  const slotMarks = redis.slotMasters && slotMarksOf(redis, redis.slotMasters, id)
  // A restarted Redis that kept its file may have lost the last second, so each new connection counts as a loss.
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
    try {
      if (entry.minEpoch === undefined) await client.set(key, '1', 'PX', leftMs)
      else await client.eval(raiseEpoch, 1, key, entry.minEpoch, leftMs)
    } catch (error) {
      // A Redis that is full rejects the entry but keeps responding. Removing a mark needs no memory.
      if (isErrorReply(error)) await (slotMarks ? slotMarks.withdraw(key) : client.del(intactKey))
      throw error
    }
  }

  return {
    isReady: redis.isReady,
    write: (entries) => inBatches(entries, writeOne),
    isIntact: async () => {
      const hasEverySlot = !slotMarks || (await slotMarks.verify())
      checkedAt = connections
      return hasEverySlot && intactAt === connections && (await client.exists(intactKey)) === 1
    },
    beginRewrite: async () => {
      await slotMarks?.begin()
      await client.set(begunKey, '1', 'EX', begunFor)
    },
    markIntact: async () => {
      if (slotMarks && !(await slotMarks.complete())) return
      const isMarked = (await client.eval(markUnlessLost, 2, begunKey, intactKey)) === 1
      if (isMarked) intactAt = checkedAt
    },
  }
}
