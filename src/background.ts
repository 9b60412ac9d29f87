import type { Core } from './compose/core.ts'
import { rereadEveryMs } from './keys/index.ts'
import { fractionOf } from './lib/random.ts'
import { type Repeating, type RepeatOptions, repeat } from './lib/repeat.ts'
import { followRevocations, postgresRevocationPurge } from './revocation/index.ts'

/** How long a cache may miss a revocation that another instance committed while it was away. */
const followEveryMs = 1_000

/** A clock that jumped without a trace on this machine (a paused VM) is noticed this soon. */
const measureEveryMs = 3_000

/** So much of what is known of the last use of sessions may be lost by a kill. */
const writeUsesEveryMs = 3_000

export type PurgePace = {
  readonly everyMs: number
  /** Of each kind in one run, so that no delete is long: it would hold locks, and a connection that requests want. */
  readonly batchRows: number
  /** The pause after a run that left some. */
  readonly soonMs: number
}

/** Some 8,000 rows of a kind a second, where all instances together revoke a thousand, and most of the time is left to others. */
const purgePace: PurgePace = { everyMs: 60_000, batchRows: 1_000, soonMs: 100 }

/** Sessions stay a while after their absolute expiry: a handle that is presented late is still told why it is refused. */
const keepExpiredMs = 24 * 3600 * 1000

type Job = Pick<RepeatOptions, 'pauseMs' | 'work'>

const every = (ms: number, work: Job['work']): Job => ({ pauseMs: () => ms, work })

const follower = ({ revocations, mirror, machine }: Core): (() => Promise<void>) | undefined => {
  if (!mirror) return undefined
  const step = followRevocations({ clock: machine.clock, feed: revocations.feed, mirror })
  return async () => {
    if (mirror.isReady()) await step()
  }
}

const purger = (
  { database, stores, machine }: Core,
  { everyMs, batchRows, soonMs }: PurgePace,
): Job => {
  const purge = postgresRevocationPurge(database)
  let isBehind = false
  return {
    pauseMs: () => (isBehind ? soonMs : everyMs),
    work: async () => {
      // A run that fails is no reason to hurry.
      isBehind = false
      const nowMs = machine.clock.nowMs()
      const revocations = await purge.dropEnded(nowMs, batchRows)
      const sessions = await stores.sessions.dropExpired(nowMs - keepExpiredMs, batchRows)
      // Of two instances that drop the same rows one finds fewer, and leaves the rest to the other.
      isBehind = revocations === batchRows || sessions === batchRows
    },
  }
}

/** When sessions were used, and copies of them that should be gone and are not. */
const usesWriter =
  ({ cookieSessions: { uses, keeper } }: Core) =>
  async (): Promise<void> => {
    await keeper?.settle()
    await uses.write()
  }

/** A failure means that Postgres is away or slow. Everybody who asks it notices, and reports it. */
const keepTime = ({ time, machine: { random } }: Core): Repeating =>
  repeat({
    pauseMs: () => measureEveryMs,
    work: time.measure,
    onError: () => undefined,
    fraction: fractionOf(random),
  })

/** What an instance does beside answering: keeps its time and the cache of revocations right, rotates keys, drops what has ended. */
export const startBackground = (
  core: Core,
  pace = purgePace,
): { readonly stop: () => Promise<void> } => {
  const { random, report } = core.machine
  const start = (what: string, { pauseMs, work }: Job): Repeating =>
    repeat({
      pauseMs,
      work: async () => {
        await core.time.settle()
        await work()
      },
      onError: (error) => report(error, `${what} failed`),
      fraction: fractionOf(random),
    })
  const follow = follower(core)
  const writeUses = usesWriter(core)
  const jobs = [
    keepTime(core),
    start('dropping what has ended', purger(core, pace)),
    start(
      'keeping the signing keys',
      every(rereadEveryMs, async () => {
        await core.keys.keep()
      }),
    ),
    start('looking for lost commits', every(followEveryMs, core.dataLoss.check)),
    start('writing the last use of sessions', every(writeUsesEveryMs, writeUses)),
    ...(follow ? [start('following revocations', every(followEveryMs, follow))] : []),
  ]
  return {
    stop: async () => {
      await Promise.all(jobs.map((job) => job.stop()))
      await writeUses().catch((error: unknown) => report(error, 'the last use of sessions is lost'))
    },
  }
}
