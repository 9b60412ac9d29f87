import { setTimeout as pause } from 'node:timers/promises'
import {
  createReplica,
  FeedGapError,
  type FeedSource,
  type Replica,
} from '../../packages/verifier/src/replica.ts'
import type { FeedPage } from '../../packages/verifier/src/wire.ts'
import { AppError } from '../lib/app-error.ts'
import type { Clock } from '../lib/clock.ts'
import type { RevocationFeed } from './revocation-feed.ts'

export type OwnReplicaDeps = {
  readonly feed: RevocationFeed
  readonly clock: Clock
  /** A number from 0 up to 1. */
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

/** Ends when the time is over or the signal aborts, whichever is first; keeps no process alive. */
const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
  pause(ms, undefined, { ref: false, ...(signal && { signal }) }).catch(() => undefined)

/** The replica that every verifier has, from the same code, for the service's own checks: it reads the log without HTTP. */
export const ownReplica = ({ feed, clock, fraction, report }: OwnReplicaDeps): Replica =>
  createReplica({
    source: asSource(feed),
    clock: { ...clock, sleep },
    fraction,
    onEvent: (event) => {
      if (event.type === 'error') report(event.error, 'the log of revocations could not be read')
    },
  })
