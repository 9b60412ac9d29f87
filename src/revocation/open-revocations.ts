import { setTimeout as pause } from 'node:timers/promises'
import {
  createReplica,
  FeedGapError,
  type FeedSource,
  type Replica,
} from '../../packages/verifier/src/replica.ts'
import type { FeedPage, RevocationEntry } from '../../packages/verifier/src/wire.ts'
import { AppError } from '../lib/app-error.ts'
import { type Clock, fractionOf, type Random } from '../lib/machine.ts'
import { findMissing } from './follow-revocations.ts'
import {
  type PendingRevocations,
  pendingRevocations,
  publishRevocations,
} from './publish-revocations.ts'
import type { RevocationCache } from './revocation-cache.ts'
import { longPollNotifier, type RevocationFeed, revocationFeed } from './revocation-feed.ts'
import type { ReadLog } from './revocation-log.ts'
import type { RevocationNotifier } from './revocation-notifier.ts'

export type WatchedLog = ReadLog & {
  /** Whether the last finished read succeeded. While the log is followed, this tells whether Postgres is reachable. */
  readonly isReadable: () => boolean
  /** The log that was read last. */
  readonly feedId: () => string | undefined
}

/** A log that records whether it could be read. Unreadable until the first read. */
const watchedLog = (log: ReadLog): WatchedLog => {
  let isReadable = false
  let feedId: string | undefined
  const watched = async <Found extends { readonly feedId: string }>(
    reading: Promise<Found>,
  ): Promise<Found> => {
    try {
      const found = await reading
      isReadable = true
      feedId = found.feedId
      return found
    } catch (error) {
      isReadable = false
      throw error
    }
  }
  return {
    changes: (from) => watched(log.changes(from)),
    snapshot: () => watched(log.snapshot()),
    isReadable: () => isReadable,
    feedId: () => feedId,
  }
}

export type OwnReplicaDeps = {
  readonly feed: RevocationFeed
  readonly clock: Clock
  /** A number in [0, 1). */
  readonly fraction: () => number
  readonly report: (error: unknown, what: string) => void
}

const asSource = (feed: RevocationFeed): FeedSource => ({
  snapshot: async () => (await feed.snapshot()).page,
  changes: async (cursor, waitSeconds, signal): Promise<FeedPage> => {
    try {
      return (await feed.changes(cursor, waitSeconds, signal)).page
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'cursor_unknown') throw error
      throw new FeedGapError('the log cannot be continued', { cause: error })
    }
  },
})

/** Ends after the time or when the signal aborts. Does not keep the process alive. */
const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
  pause(ms, undefined, { ref: false, ...(signal && { signal }) }).catch(() => undefined)

/** The replica for the service's own checks, with the code that every verifier runs. It reads the log without HTTP. */
export const ownReplica = ({ feed, clock, fraction, report }: OwnReplicaDeps): Replica =>
  createReplica({
    source: asSource(feed),
    clock: { ...clock, sleep },
    fraction,
    onEvent: (event) => {
      if (event.type === 'error') report(event.error, 'the log of revocations could not be read')
    },
  })

export type OpenRevocationsDeps = {
  readonly log: ReadLog
  readonly notifier: RevocationNotifier
  readonly cache: RevocationCache | undefined
  readonly clock: Clock & { readonly isSure: () => boolean }
  readonly random: Random
  readonly report: (error: unknown, what: string) => void
}

/** The revocations of one process: it follows them, serves them and publishes its own. */
export type Revocations = {
  readonly feed: RevocationFeed
  /** What is revoked, in memory. LOADING until `start`. */
  readonly replica: Replica
  /**
   * Whether Postgres responded to the last read of the log. It becomes false soon after an outage begins, while the replica is still FRESH.
   */
  readonly isLogReadable: () => boolean
  /** The log that was read last. It changes after a fail-over, a crash or a restore. */
  readonly feedId: () => string | undefined
  /** What this process knows to be revoked and the log lacks, according to a new snapshot. Usually nothing. */
  readonly findMissing: () => Promise<RevocationEntry[]>
  /** For each transaction: collects what it revokes, and publishes it after the commit. */
  readonly collect: () => PendingRevocations
  /**
   * Starts to follow the log, and resolves when the replica is complete. Rejects when it is not complete in time, but continues to try.
   * Until it succeeds, Postgres is asked instead.
   */
  readonly start: (patience: AbortSignal) => Promise<void>
  /** Responds at once to waiting long polls, and stops following. The feed still responds. */
  readonly stop: () => Promise<void>
  /** Lets the last notification to other processes finish. Call it before the database is closed. */
  readonly close: () => Promise<void>
}

/** Constructs the parts. Nothing runs before `start`. */
export const openRevocations = (deps: OpenRevocationsDeps): Revocations => {
  const { notifier, random } = deps
  const log = watchedLog(deps.log)
  const wakeUps = longPollNotifier()
  const feed = revocationFeed({ log, wakeUps })
  const replica = ownReplica({ ...deps, feed, fraction: fractionOf(random) })
  const wake = (): void => {
    wakeUps.wake()
    replica.wake()
  }
  const publish = publishRevocations({ ...deps, replica, wake })
  return {
    feed,
    replica,
    isLogReadable: log.isReadable,
    feedId: log.feedId,
    findMissing: findMissing({ ...deps, feed, replica }),
    collect: () => pendingRevocations(deps.clock, publish),
    start: (patience) => {
      notifier.listen(wake)
      replica.start()
      return replica.ready(patience)
    },
    stop: async () => {
      wakeUps.close()
      await replica.close()
    },
    close: notifier.close,
  }
}
