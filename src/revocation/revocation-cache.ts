import type { RevocationEntries, RevocationEntry } from '../../packages/verifier/src/wire.ts'
import { isErrorReply, type RedisConnection, slotOf, slotTags } from '../infra/redis/redis.ts'
import { type Clock, newId, type Random } from '../lib/machine.ts'

/** A copy of the log for services that ask a cache directly. It is never the truth: it may be lost at any moment. */
export type RevocationCache = {
  /** Whether it can be reached at this moment. */
  readonly isReady: () => boolean
  /** Writes entries, in any order and as often as one likes. Throws when the cache is away; nothing is lost by that. */
  readonly write: (entries: RevocationEntries) => Promise<void>
  /** Whether the cache still holds what was written, as far as it can tell: false after a flush or a restart. */
  readonly isIntact: () => Promise<boolean>
  /** Called before the log is read, when everything is to be written again. */
  readonly beginRewrite: () => Promise<void>
  /** Called once everything has been written. Changes nothing when the cache has lost what it held since `beginRewrite`. */
  readonly markIntact: () => Promise<void>
}

/** Work under way at once: a bounded share of memory, and of the store that does it. */
const batchSize = 500

/** Does `work` for each item, a batch at once. Rejects with the first failure, and then begins no further batch. */
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

/** What a service in any language asks for: `docs/guides/ask-redis.md`. */
const keyOf = ({ kind, key }: RevocationEntry): string =>
  kind === 'everyone' ? 'cardea:revoked:everyone' : `cardea:revoked:${kind}:${key}`

/** Says that everything was written since Redis was last empty. Its absence means a loss. */
const intactKey = 'cardea:mirror:intact'

/**
 * Stands while one process writes everything, and goes with a flush: what it had written by then is lost, so that nothing is complete at
 * the end. In a cluster the braces put it into the slot of its mark.
 */
const begunKeyOf = (id: string, tag: string): string => `cardea:mirror:begun:${id}:{${tag}}`

/** Seconds: longer than it takes to write all entries there can be. A process that ends meanwhile leaves it behind for so long. */
const begunFor = 600

/** Sets the mark `KEYS[2]`, unless Redis has lost `KEYS[1]`, which was set before the log was read. */
const markUnlessLost = `
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
redis.call('SET', KEYS[2], '1')
return 1`

/** The marks of a cluster: each master can lose its share alone, and a mark in every slot goes with the entries of that slot. */
type SlotMarks = {
  /**
   * Whether every master has what was written, as far as one of its marks and the layout tell. After a loss the mark of the whole is
   * removed at once. Rejects when a master does not answer: then nothing is known.
   */
  readonly verify: () => Promise<boolean>
  /** Called before the log is read, when everything is to be written again. Looks at every mark. */
  readonly begin: () => Promise<void>
  /** Called when Redis did not take the entry with this key: nothing in its slot is complete any more. */
  readonly withdraw: (key: string) => Promise<void>
  /** Called once everything has been written. Sets what was missing, and tells whether nothing was lost meanwhile. */
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
  /** Where every slot had its mark when it was last looked at. */
  let known: Layout = []
  let seen: Layout = []
  let lacking: Keys[] = []
  let isLost = false

  // A slot without a master has no entries, and answers nobody.
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
    // A replica that took over may lack the last entries although it has the marks.
    const isTakenOver = known.length > 0 && [...slotAt.keys()].some((one) => !knownMasters.has(one))
    const looks = await Promise.allSettled([...slotAt.values()].map((slot) => findLacking([slot])))
    const isEmptied = looks.some((one) => one.status === 'fulfilled' && one.value.length > 0)
    if (isLost || isTakenOver || isEmptied) await withdraw()
    // Only now: a master that is away hides no loss of another.
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

/** Entries arrive in any order, from several instances: an epoch may only rise. */
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
    try {
      if (entry.minEpoch === undefined) await client.set(key, '1', 'PX', leftMs)
      else await client.eval(raiseEpoch, 1, key, entry.minEpoch, leftMs)
    } catch (error) {
      // R71: a Redis that is full refuses the entry and goes on answering. A mark takes no room to remove.
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
