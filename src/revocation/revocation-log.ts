import type { NewRevocation, Revocation } from './revocation.ts'

export type RevocationLog = {
  /** Adds an entry in the transaction of the change it tells of. Returns its sequence number. */
  readonly append: (revocation: NewRevocation) => Promise<number>
}

/** Read access for followers. */
export type RevocationFeed = {
  /**
   * Every visible entry of a transaction at or after the cursor, oldest first, and the cursor for the next call. An entry may come
   * twice; none is lost, however late its transaction commits. Without a cursor: all that have not ended.
   */
  readonly since: (cursor: string | undefined) => Promise<{ entries: Revocation[]; cursor: string }>
}

export type RevocationPurge = {
  /** Drops entries that ended before then, at most `limit`, and says how many. */
  readonly dropEnded: (beforeMs: number, limit: number) => Promise<number>
}
