import type { Core } from './compose/core.ts'
import { rereadEveryMs } from './keys/index.ts'
import { type Repeating, repeat } from './lib/repeat.ts'
import { followRevocations, postgresRevocationPurge } from './revocation/index.ts'

/** How long a cache may miss a revocation that another instance committed while it was away. */
const followEveryMs = 1_000

const purgeEveryMs = 60_000

/** So much of what is known of the last use of sessions may be lost by a kill. */
const writeUsesEveryMs = 3_000

/** Small batches: a long delete would hold locks and bloat what it cleans. */
const purgeBatch = 1_000

const mostBatches = 20

/** Sessions stay a while after their absolute expiry: a handle that is presented late is still told why it is refused. */
const keepExpiredMs = 24 * 3600 * 1000

const inBatches = async (drop: (limit: number) => Promise<number>): Promise<void> => {
  for (let batch = 0; batch < mostBatches; batch += 1) {
    if ((await drop(purgeBatch)) < purgeBatch) return
  }
}

const follower = ({ revocations, mirror, machine }: Core): (() => Promise<void>) | undefined => {
  if (!mirror) return undefined
  const step = followRevocations({ clock: machine.clock, feed: revocations.feed, mirror })
  return async () => {
    if (mirror.isReady()) await step()
  }
}

const purger = ({ database, stores, machine }: Core) => {
  const purge = postgresRevocationPurge(database)
  return async (): Promise<void> => {
    const nowMs = machine.clock.nowMs()
    await inBatches((limit) => purge.dropEnded(nowMs, limit))
    await inBatches((limit) => stores.sessions.dropExpired(nowMs - keepExpiredMs, limit))
  }
}

/** When sessions were used, and copies of them that should be gone and are not. */
const usesWriter =
  ({ cookieSessions: { uses, keeper } }: Core) =>
  async (): Promise<void> => {
    await keeper?.settle()
    await uses.write()
  }

/** What an instance does beside answering: keeps the cache of revocations complete, rotates keys, drops what has ended. */
export const startBackground = (core: Core): { readonly stop: () => Promise<void> } => {
  const { random, report } = core.machine
  const start = (what: string, pauseMs: number, work: () => Promise<void>): Repeating =>
    repeat({
      pauseMs,
      work,
      onError: (error) => report(error, `${what} failed`),
      fraction: () => random(1).readUInt8() / 256,
    })
  const follow = follower(core)
  const writeUses = usesWriter(core)
  const jobs = [
    start('dropping what has ended', purgeEveryMs, purger(core)),
    start('keeping the signing keys', rereadEveryMs, async () => {
      await core.keys.keep()
    }),
    start('writing the last use of sessions', writeUsesEveryMs, writeUses),
    ...(follow ? [start('following revocations', followEveryMs, follow)] : []),
  ]
  return {
    stop: async () => {
      await Promise.all(jobs.map((job) => job.stop()))
      await writeUses().catch((error: unknown) => report(error, 'the last use of sessions is lost'))
    },
  }
}
