import type { ReadLog } from './revocation-log.ts'

export type WatchedLog = ReadLog & {
  /** Whether the latest read that has ended brought anything: as long as somebody follows the log, whether Postgres is there. */
  readonly isReadable: () => boolean
  /** Which log was read last. */
  readonly feedId: () => string | undefined
}

/** A log that remembers whether it could be read. Unreadable until it was read. */
export const watchedLog = (log: ReadLog): WatchedLog => {
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
