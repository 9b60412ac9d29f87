import type { FeedPage, RevocationEntry } from '../../packages/verifier/src/wire.ts'
import type { FeedCursor } from './feed-cursor.ts'
import type { NewRevocation, NewTokenRevocation } from './revocation.ts'

export type RevocationLog = {
  /** Adds an entry in the transaction of the change it tells of. Returns its sequence number. */
  readonly append: (revocation: NewRevocation) => Promise<number>
  /**
   * The same for a token, unless an entry of it stands already: who asks at the same time waits for the other's transaction.
   * None: it was revoked before.
   */
  readonly appendTokenOnce: (revocation: NewTokenRevocation) => Promise<number | undefined>
  /**
   * Adds entries of another log that this one lacks, each to its old end, and returns those that were added. Who does the same at the
   * same time waits, and finds them there.
   */
  readonly appendMissing: (entries: readonly RevocationEntry[]) => Promise<RevocationEntry[]>
}

/** A row of the log, with the transaction that wrote it. */
export type LoggedEntry = { readonly xid: bigint; readonly entry: RevocationEntry }

/** The log as one statement saw it. */
export type LogChanges = {
  readonly feedId: string
  /** What that statement could see: whoever reads on from here misses nothing, however late it commits, and gets nothing twice. */
  readonly cursor: FeedCursor
  /** Visible rows that the asked cursor has not seen and that have not ended, in no order; none when there are more than `mostChanges`. */
  readonly rows: readonly LoggedEntry[] | 'too_many'
}

/** Read access to the log. Both throw `store_unavailable` when Postgres is away, or is a standby: it may be behind. */
export type ReadLog = {
  /** One statement, one round trip. */
  readonly changes: (from: FeedCursor) => Promise<LogChanges>
  /** Everything that has not ended, as of one moment, and the cursor to go on from. */
  readonly snapshot: () => Promise<FeedPage>
}

export type RevocationPurge = {
  /** Drops entries that ended before then, at most `limit`, and says how many. */
  readonly dropEnded: (beforeMs: number, limit: number) => Promise<number>
}
