import type { Core } from './core.ts'
import { rereadEveryMs } from './keys/index.ts'
import { fractionOf } from './lib/machine.ts'
import { type Repeating, type RepeatOptions, repeat } from './lib/repeat.ts'
import { deviceTokenSeconds } from './login/index.ts'
import { followRevocations, postgresRevocationPurge } from './revocation/index.ts'

/** How long a cache may miss a revocation that another replica committed while the cache was unreachable. */
const followEveryMs = 1_000

/** How soon a jump of the clock is noticed that left no trace on this machine (a paused VM). */
const measureEveryMs = 3_000

/** How much of the last uses of sessions a kill may lose. */
const writeUsesEveryMs = 3_000

export type PurgePace = {
  readonly everyMs: number
  /** Rows of each kind in one run. Short deletes hold their locks, and a connection that requests need, only briefly. */
  readonly batchRows: number
  /** The pause after a run that left some. */
  readonly soonMs: number
}

/** About 8,000 rows of a kind per second. All replicas together revoke a thousand, and most of the time is left to other work. */
const purgePace: PurgePace = { everyMs: 60_000, batchRows: 1_000, soonMs: 100 }

/** Sessions are kept for a while after their absolute expiry, so that a late handle still gets the reason for its refusal. */
const keepExpiredMs = 24 * 3600 * 1000

type Job = Pick<RepeatOptions, 'pauseMs' | 'work'>

const every = (ms: number, work: Job['work']): Job => ({ pauseMs: () => ms, work })

const follower = ({
  revocations,
  revocationCache: cache,
  redis,
  machine,
}: Core): (() => Promise<void>) | undefined => {
  if (!cache || !redis) return undefined
  const step = followRevocations({ clock: machine.clock, feed: revocations.feed, cache })
  return async function followOnce() {
    if (!cache.isReady()) return
    try {
      await step()
    } catch (error) {
      await redis.assertTakesWrites().catch(() => undefined)
      // A Redis that is full or read-only stays so for long. The outage is logged once, not at every failed step.
      if (!redis.outage()) throw error
    }
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
      // A failed run is repeated after the normal pause.
      isBehind = false
      const nowMs = machine.clock.nowMs()
      const revocations = await purge.dropEnded(nowMs, batchRows)
      const sessions = await stores.sessions.dropExpired(nowMs - keepExpiredMs, batchRows)
      // The token of a device that has not logged in for this long has expired.
      const { dropDeviceFailures } = stores.accounts
      const devices = await dropDeviceFailures(nowMs, deviceTokenSeconds, batchRows)
      // When two replicas delete the same rows, one finds fewer and leaves the rest to the other.
      isBehind = [revocations, sessions, devices].includes(batchRows)
    },
  }
}

/** Writes the last uses of sessions, and retries dropping cached sessions. */
const usesWriter =
  ({ cookieSessions: { uses, invalidator } }: Core) =>
  async (): Promise<void> => {
    await invalidator?.settle()
    await uses.write()
  }

/** A failure means that Postgres is unreachable or slow. Whatever else uses Postgres reports it. */
const keepTime = ({ machine: { clock, random } }: Core): Repeating =>
  repeat({
    pauseMs: () => measureEveryMs,
    work: clock.measure,
    onError: () => undefined,
    fraction: fractionOf(random),
  })

/** Starts the background jobs of a process: they keep its clock and the revocation cache correct, rotate keys and delete what has ended. */
export const startBackground = (
  core: Core,
  pace = purgePace,
): { readonly stop: () => Promise<void> } => {
  const { random, report } = core.machine
  const start = (what: string, { pauseMs, work }: Job): Repeating =>
    repeat({
      pauseMs,
      work: async () => {
        await core.machine.clock.settle()
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
