import type { ReadLog } from './revocation-log.ts'

export type WatchedLog = ReadLog & {
  /** Whether the latest read that has ended brought anything: as long as somebody follows the log, whether Postgres is there. */
  readonly isReadable: () => boolean
}

/** A log that remembers whether it could be read. Unreadable until it was read. */
export const watchedLog = (log: ReadLog): WatchedLog => {
  let isReadable = false
  const watched = async <Found>(reading: Promise<Found>): Promise<Found> => {
    try {
      const found = await reading
      isReadable = true
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
  }
}
