import type { Clock } from '../clock.ts'
import type {
  RevocationEntries,
  RevocationEntry,
  RevocationKind,
} from '../wire/revocation-entry.ts'
import type { RevocationFacts } from './revocation-facts.ts'
import { createRevocationSet, type RevocationSet } from './revocation-set.ts'

/** Entries that are added at a time, about 2 ms of work. Then other work gets its turn, even while a million are loaded. */
const entriesAtATime = 4096

/** Scanning a million entries takes about 20 ms, so it is not done more often than the memory requires. */
const dropEveryMs = 30_000

/** Entries outlive the tokens they revoke by more than this, so a clock that goes back a little makes no token valid again. */
const harmlessBackstepMs = 5000

/** The entries of a replica, through snapshots, changes of the log and the end of entries. No entry is dropped too early. */
export class HeldRevocations {
  readonly #clock: Clock
  #set = createRevocationSet()
  /** Is filled before it replaces `#set`. */
  #replacement: RevocationSet | undefined
  #nextDropAtMs: number
  /** The latest wall-clock time at which something was dropped; 0 when nothing was. */
  #droppedAtMs = 0
  /**
   * The highest global epoch from the log itself. Entries that the owner applied are not included, because they may be from the next log
   * already.
   */
  #followedEpoch = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#nextDropAtMs = clock.monotonicMs() + dropEveryMs
  }

  readonly revokedBy = (facts: RevocationFacts): RevocationKind | undefined =>
    this.#set.revokedBy(facts)

  readonly isKeyRevoked = (kid: string): boolean => this.#set.isKeyRevoked(kid)

  /** All entries, one at a time, unordered. Entries that are added or dropped meanwhile may be missing. */
  entries(): Iterable<RevocationEntry> {
    return this.#set.entries()
  }

  /** Adds a few entries at once. Throws a TypeError for an invalid one. */
  apply(entries: readonly RevocationEntry[]): void {
    for (const entry of entries) {
      this.#set.add(entry)
      // The snapshot that is being loaded may lack it, and it must be held when the sets are exchanged.
      this.#replacement?.add(entry)
    }
  }

  /**
   * Adds the entries of a page in steps, also those of a snapshot, to the held ones. Returns how many were new. A held entry that the
   * snapshot lacks still revokes something, and ends by itself.
   */
  take(entries: RevocationEntries, stop: AbortSignal): Promise<number> {
    return this.#fill(this.#set, entries, stop)
  }

  /**
   * Loads a snapshot of another log. After a fail-over both logs concern the same accounts, and the held entries stay: if the new log lacks
   * the last revocations of the old one, they remain valid here as long as they matter.
   *
   * A restored backup is different: its epochs start again below ours, and users who log in again would be refused because of earlier
   * revocations. It is recognized by its higher global epoch. That epoch alone revokes every earlier token, so all other held entries can
   * be dropped, in one step after the new set is complete. Revoked keys stay: a thief could still sign with any epoch, and the backup may
   * have brought the key back into use.
   */
  async takeOtherLog(entries: RevocationEntries, stop: AbortSignal): Promise<void> {
    if (globalEpochOf(entries) <= this.#followedEpoch) {
      await this.take(entries, stop)
      return
    }
    const replacement = createRevocationSet()
    for (const entry of this.#set.revokedKeys()) replacement.add(entry)
    this.#replacement = replacement
    try {
      await this.#fill(replacement, entries, stop)
      this.#set = replacement
    } finally {
      this.#replacement = undefined
    }
  }

  /** Drops ended entries, unless that was done recently. */
  dropWhenDue(): void {
    if (this.#clock.monotonicMs() < this.#nextDropAtMs) return
    this.#nextDropAtMs = this.#clock.monotonicMs() + dropEveryMs
    const nowMs = this.#clock.nowMs()
    const before = this.#set.size
    this.#set.dropEnded(Math.floor(nowMs / 1000))
    if (this.#set.size < before) this.#droppedAtMs = Math.max(this.#droppedAtMs, nowMs)
  }

  /**
   * Whether entries were dropped by a clock that has since been set back: tokens that looked expired are valid again and their entries are
   * gone, so a new snapshot is needed. Returns true once. Call it before the replica reports itself fresh, because the same clock decides
   * at that moment whether a token has expired.
   */
  hasDroppedTooMuch(): boolean {
    if (this.#droppedAtMs === 0) return false
    if (this.#clock.nowMs() >= this.#droppedAtMs - harmlessBackstepMs) return false
    this.#droppedAtMs = 0
    return true
  }

  /** Other work runs between the steps: while a snapshot is loaded, tokens are checked with the held entries. */
  async #fill(set: RevocationSet, entries: RevocationEntries, stop: AbortSignal): Promise<number> {
    let news = 0
    let seen = 0
    for (const entry of entries) {
      if (set.add(entry)) news += 1
      this.#noteEpoch(entry)
      seen += 1
      if (seen % entriesAtATime === 0) {
        await this.#clock.sleep(0, stop)
        stop.throwIfAborted()
      }
    }
    return news
  }

  #noteEpoch({ kind, minEpoch = 0 }: RevocationEntry): void {
    if (kind === 'everyone') this.#followedEpoch = Math.max(this.#followedEpoch, minEpoch)
  }
}

/** The global epoch that the entries require; 0 when none does. */
const globalEpochOf = (entries: RevocationEntries): number => {
  let highest = 0
  for (const { kind, minEpoch = 0 } of entries) {
    if (kind === 'everyone') highest = Math.max(highest, minEpoch)
  }
  return highest
}
