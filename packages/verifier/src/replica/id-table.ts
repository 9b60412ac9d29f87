import { readId, textOf } from '../wire/id-words.ts'
import { hashOf, IdSegment } from './id-segment.ts'

/**
 * A table in pieces: one piece grows or is cleaned in a millisecond also when a million ids are
 * held, and while it grows only its own old and new arrays exist side by side. In one piece it
 * would stop the process for a tenth of a second and take twice the memory.
 */
const segmentBits = 6
const segmentShift = 32 - segmentBits

/** For the id that is being looked up; nothing here is interrupted, so one will do. */
const words = new Uint32Array(4)

/** Ids as texts of 22 characters, each with its end and perhaps an epoch. */
export class IdTable {
  readonly #segments: readonly IdSegment[]
  #size = 0

  /** `slotWords` says whether the table keeps epochs: `plainSlotWords` or `epochSlotWords`. */
  constructor(slotWords: number) {
    this.#segments = Array.from({ length: 2 ** segmentBits }, () => new IdSegment(slotWords))
  }

  get size(): number {
    return this.#size
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0)
  }

  /**
   * Returns whether that changed anything. Throws a TypeError when `id` is not the canonical text
   * of 16 bytes.
   */
  add(id: string, notAfter: number, minEpoch: number): boolean {
    if (!readId(id, words)) throw new TypeError('a revocation needs an id of 16 bytes in base64url')
    const hash = hashOf(words, 0)
    const segment = this.#segments[hash >>> segmentShift]
    if (!segment) return false
    const before = segment.size
    const changed = segment.add(words, hash, notAfter, minEpoch)
    this.#size += segment.size - before
    return changed
  }

  /**
   * The epoch of an id, 0 in a table without epochs, and -1 for an id that is not in it, or no id
   * at all.
   */
  minEpochOf(id: string): number {
    // Most replicas hold nothing of most kinds, and reading the id is most of the work.
    if (this.#size === 0 || !readId(id, words)) return -1
    const hash = hashOf(words, 0)
    return this.#segments[hash >>> segmentShift]?.minEpochOf(words, hash) ?? -1
  }

  /** Each id with its end and its epoch. What is added or removed meanwhile may be missing. */
  *entries(): Generator<[id: string, notAfter: number, minEpoch: number]> {
    for (const segment of this.#segments) {
      for (const [id, notAfter, minEpoch] of segment.entries()) {
        yield [textOf(id), notAfter, minEpoch]
      }
    }
  }

  /** Removes ids whose end is before then, seconds since the Unix epoch. */
  dropEnded(nowSeconds: number): void {
    for (const segment of this.#segments) segment.dropEnded(nowSeconds)
    this.#size = this.#segments.reduce((sum, segment) => sum + segment.size, 0)
  }
}
