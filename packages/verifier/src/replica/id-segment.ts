/**
 * A slot is five or seven words of 32 bits:
 *
 *     id  id  id  id  notAfter  [epoch, upper 21 bits]  [epoch, lower 32 bits]
 *
 * Epochs go up to 2^53 - 1, so one word is too small for them.
 */
const notAfterAt = 4
const epochHighAt = 5
const epochLowAt = 6

/** Words of a slot with an id and its end. With an epoch, two more. */
export const plainSlotWords = 5
export const epochSlotWords = 7

const twoTo32 = 0x1_0000_0000

/**
 * At three quarters full it grows by a fifth and is then five eighths full: each id of 16 bytes takes at most 32, with an epoch 45. Linear
 * probing stays short at that load, and neighbouring slots share cache lines.
 */
const fullestLoad = 0.75
const growth = 1.2
/** Below this load it is rebuilt smaller. */
const emptiestLoad = 0.3
const loadAfterShrinking = 0.65
const smallestCapacity = 8

/** The lower bits of a hash select the slot. The upper ones have selected the segment. */
const slotBits = 26
const slotMask = 2 ** slotBits - 1

/**
 * Spreads an id over 32 bits. Ids are random already; the mixing helps for ids that are not, for example in a test. Only the position in
 * the table depends on it. Ids are compared completely, so equal hashes refuse nobody.
 */
export const hashOf = (words: Uint32Array, at: number): number => {
  let hash = (words[at] ?? 0) ^ Math.imul(words[at + 1] ?? 0, 0x9e3779b1)
  hash ^= Math.imul(words[at + 2] ?? 0, 0x85ebca77) ^ Math.imul(words[at + 3] ?? 0, 0xc2b2ae3d)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  hash = Math.imul(hash ^ (hash >>> 12), 0x297a2d39)
  return (hash ^ (hash >>> 15)) >>> 0
}

/**
 * Ids, each with its end and perhaps an epoch, in one typed array with open addressing. There is no object and no string per id, so the
 * garbage collector has nothing to scan. A slot whose `notAfter` is 0 is empty.
 */
export class IdSegment {
  readonly #slotWords: number
  #slots = new Uint32Array(0)
  #capacity = 0
  #size = 0

  constructor(slotWords: number) {
    this.#slotWords = slotWords
  }

  get size(): number {
    return this.#size
  }

  get bytes(): number {
    return this.#slots.byteLength
  }

  /** Adds an id, or raises its end and its epoch. Returns whether anything changed. */
  add(words: Uint32Array, hash: number, notAfter: number, minEpoch: number): boolean {
    if (this.#size + 1 > this.#capacity * fullestLoad) {
      this.#rebuild(Math.max(smallestCapacity, Math.ceil(this.#capacity * growth)))
    }
    const at = this.#find(words, 0, hash)
    if (this.#slots[at + notAfterAt] !== 0) return this.#raise(at, notAfter, minEpoch)
    this.#copy(words, 0, at, notAfterAt)
    this.#slots[at + notAfterAt] = notAfter
    if (this.#slotWords === epochSlotWords) this.#setEpoch(at, minEpoch)
    this.#size += 1
    return true
  }

  /** The epoch of an id, 0 in a segment without epochs, and -1 for an id that is not in it. */
  minEpochOf(words: Uint32Array, hash: number): number {
    if (this.#size === 0) return -1
    const at = this.#find(words, 0, hash)
    if (this.#slots[at + notAfterAt] === 0) return -1
    return this.#slotWords === epochSlotWords ? this.#epochAt(at) : 0
  }

  /** Each id as four words, with its end and its epoch. Ids that are added or removed meanwhile may be missing. */
  *entries(): Generator<[words: Uint32Array, notAfter: number, minEpoch: number]> {
    for (let at = 0; at < this.#slots.length; at += this.#slotWords) {
      const notAfter = this.#slots[at + notAfterAt] ?? 0
      if (notAfter === 0) continue
      const hasEpoch = this.#slotWords === epochSlotWords
      yield [this.#slots.slice(at, at + notAfterAt), notAfter, hasEpoch ? this.#epochAt(at) : 0]
    }
  }

  /** Removes ids whose end is before this time, seconds since the Unix epoch, and frees memory when few are left. */
  dropEnded(nowSeconds: number): void {
    for (let slot = 0; slot < this.#capacity; slot++) {
      // Another id may move into the freed slot, so the slot is checked again.
      while (this.#hasEnded(slot, nowSeconds)) this.#remove(slot)
    }
    if (this.#size >= this.#capacity * emptiestLoad) return
    const capacity = Math.ceil(this.#size / loadAfterShrinking)
    if (this.#size === 0) this.#rebuild(0)
    else if (this.#capacity > smallestCapacity) this.#rebuild(Math.max(smallestCapacity, capacity))
  }

  #hasEnded(slot: number, nowSeconds: number): boolean {
    const notAfter = this.#slots[slot * this.#slotWords + notAfterAt] ?? 0
    return notAfter !== 0 && notAfter < nowSeconds
  }

  /** The slot where the search for an id starts. Capacities are no powers of two, so the hash is scaled instead of masked. */
  #homeOf(hash: number): number {
    return Math.floor(((hash & slotMask) * this.#capacity) / 2 ** slotBits)
  }

  /**
   * The slot of the id that `words` has at `from`, or the empty slot where it belongs. There is always one, because a segment is never
   * full.
   */
  #find(words: Uint32Array, from: number, hash: number): number {
    const slots = this.#slots
    const end = slots.length
    let at = this.#homeOf(hash) * this.#slotWords
    while (slots[at + notAfterAt] !== 0) {
      if (
        slots[at] === words[from] &&
        slots[at + 1] === words[from + 1] &&
        slots[at + 2] === words[from + 2] &&
        slots[at + 3] === words[from + 3]
      ) {
        return at
      }
      at += this.#slotWords
      if (at === end) at = 0
    }
    return at
  }

  /** Entries only grow: the later end and the higher epoch win, in any order. */
  #raise(at: number, notAfter: number, minEpoch: number): boolean {
    let changed = false
    if (notAfter > (this.#slots[at + notAfterAt] ?? 0)) {
      this.#slots[at + notAfterAt] = notAfter
      changed = true
    }
    if (this.#slotWords === epochSlotWords && minEpoch > this.#epochAt(at)) {
      this.#setEpoch(at, minEpoch)
      changed = true
    }
    return changed
  }

  #epochAt(at: number): number {
    return (this.#slots[at + epochHighAt] ?? 0) * twoTo32 + (this.#slots[at + epochLowAt] ?? 0)
  }

  #setEpoch(at: number, minEpoch: number): void {
    this.#slots[at + epochHighAt] = Math.floor(minEpoch / twoTo32)
    this.#slots[at + epochLowAt] = minEpoch % twoTo32
  }

  /**
   * Removes without a tombstone, which would slow down every search until the next rebuild. Ids behind the hole move up into it, unless
   * that would put one before the start of its search.
   */
  #remove(slot: number): void {
    const capacity = this.#capacity
    let hole = slot
    let next = slot
    for (;;) {
      next = next + 1 === capacity ? 0 : next + 1
      const at = next * this.#slotWords
      if (this.#slots[at + notAfterAt] === 0) break
      const home = this.#homeOf(hashOf(this.#slots, at))
      if ((next - home + capacity) % capacity >= (next - hole + capacity) % capacity) {
        this.#copy(this.#slots, at, hole * this.#slotWords, this.#slotWords)
        hole = next
      }
    }
    this.#slots[hole * this.#slotWords + notAfterAt] = 0
    this.#size -= 1
  }

  /** Moves everything into an array of another size. Both exist meanwhile. */
  #rebuild(capacity: number): void {
    const before = this.#slots
    this.#slots = new Uint32Array(capacity * this.#slotWords)
    this.#capacity = capacity
    for (let at = 0; at < before.length; at += this.#slotWords) {
      if (before[at + notAfterAt] === 0) continue
      this.#copy(before, at, this.#find(before, at, hashOf(before, at)), this.#slotWords)
    }
  }

  /** For five or seven words a loop is several times faster than `subarray` and `set`. */
  #copy(source: Uint32Array, from: number, to: number, count: number): void {
    for (let word = 0; word < count; word++) this.#slots[to + word] = source[from + word] ?? 0
  }
}
