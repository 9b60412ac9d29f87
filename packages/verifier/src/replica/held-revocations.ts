import type { Clock } from '../clock.ts'
import type {
  RevocationEntries,
  RevocationEntry,
  RevocationKind,
} from '../wire/revocation-entry.ts'
import type { RevocationFacts } from './revocation-facts.ts'
import { createRevocationSet, type RevocationSet } from './revocation-set.ts'

/**
 * So many entries are taken in at a time, about 2 ms of work; then others get their turn, also
 * while a million are loaded.
 */
const entriesAtATime = 4096

/**
 * Looking through a million entries takes about 20 ms, so it is not done more often than is good
 * for the memory.
 */
const dropEveryMs = 30_000

/**
 * Entries outlive the tokens they cover by more than this, so that a clock that goes back a little
 * revives nothing.
 */
const harmlessBackstepMs = 5000

/**
 * What a replica holds, through snapshots, changes of the log and the end of entries. Nothing is
 * ever forgotten too early.
 */
export class HeldRevocations {
  readonly #clock: Clock
  #set = createRevocationSet()
  /** Fills while it is to take the place of `#set`. */
  #replacement: RevocationSet | undefined
  #nextDropAtMs: number
  /** The latest wall-clock time at which something was dropped; 0 when nothing was. */
  #droppedAtMs = 0
  /**
   * The highest global epoch that the log itself told of. What the owner applied does not count: it
   * may be of the next log already.
   */
  #followedEpoch = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#nextDropAtMs = clock.monotonicMs() + dropEveryMs
  }

  readonly revokedBy = (facts: RevocationFacts): RevocationKind | undefined =>
    this.#set.revokedBy(facts)

  readonly isKeyRevoked = (kid: string): boolean => this.#set.isKeyRevoked(kid)

  /** All entries, in no order, one at a time. What comes or goes meanwhile may be missing. */
  entries(): Iterable<RevocationEntry> {
    return this.#set.entries()
  }

  /** Takes in a few entries at once. Throws a TypeError for one that cannot be one. */
  apply(entries: readonly RevocationEntry[]): void {
    for (const entry of entries) {
      this.#set.add(entry)
      // It may be missing from the snapshot that is being loaded, and must be held when the sets
      // change places.
      this.#replacement?.add(entry)
    }
  }

  /**
   * Takes in the entries of a page, in steps. Returns how many were news. They add to what is held,
   * those of a snapshot too: an entry that the snapshot lacks names something that is dead all the
   * same, and ends by itself.
   */
  take(entries: RevocationEntries, stop: AbortSignal): Promise<number> {
    return this.#fill(this.#set, entries, stop)
  }

  /**
   * Takes in a snapshot of another log than before. After a fail-over both logs tell of the same
   * accounts, and what is held stays: if the new one lacks the last revocations of the old one,
   * they hold on here for as long as they matter.
   *
   * A backup that was put back is different: its epochs begin again below ours, and people who sign
   * in anew would be refused for what was revoked before. It is known by its higher global epoch.
   * Every token from before is dead by that alone, so what else is held can go, in one step and
   * only once the new set is complete. Revoked keys stay: whoever stole one goes on signing, with
   * any epoch, and the backup may have brought the key back into use.
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

  /** Drops what has ended, if that was not done lately. */
  dropWhenDue(): void {
    if (this.#clock.monotonicMs() < this.#nextDropAtMs) return
    this.#nextDropAtMs = this.#clock.monotonicMs() + dropEveryMs
    const nowMs = this.#clock.nowMs()
    const before = this.#set.size
    this.#set.dropEnded(Math.floor(nowMs / 1000))
    if (this.#set.size < before) this.#droppedAtMs = Math.max(this.#droppedAtMs, nowMs)
  }

  /**
   * Whether entries were dropped by a clock that has since been set back: tokens that looked
   * expired are alive again, and what revoked them is gone, so a new snapshot is needed. Says so
   * once. To be asked whenever the replica is about to call itself fresh: the same clock decides
   * in that moment that a token has not expired.
   */
  hasDroppedTooMuch(): boolean {
    if (this.#droppedAtMs === 0) return false
    if (this.#clock.nowMs() >= this.#droppedAtMs - harmlessBackstepMs) return false
    this.#droppedAtMs = 0
    return true
  }

  /**
   * Others run between the steps: tokens are checked while a snapshot is being taken in, by what is
   * held already.
   */
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

/** The global epoch that the entries ask for; 0 when none does. */
const globalEpochOf = (entries: RevocationEntries): number => {
  let highest = 0
  for (const { kind, minEpoch = 0 } of entries) {
    if (kind === 'everyone') highest = Math.max(highest, minEpoch)
  }
  return highest
}
