import { isKeyOf, numberProblem } from '../wire/entry-rules.ts'
import { readId, textOf } from '../wire/id-words.ts'
import type { RevocationEntry, RevocationKind } from '../wire/revocation-entry.ts'
import { epochSlotWords, hashOf, IdSegment, plainSlotWords } from './id-segment.ts'
import type { RevocationFacts } from './revocation-facts.ts'

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
class IdTable {
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

/**
 * What is revoked, in memory. Entries only ever add up: their order does not matter, nor does it
 * that one comes twice. Of two entries for the same key the higher epoch and the later end hold.
 *
 *     const set = createRevocationSet()
 *     set.add({ kind: 'sid', key: 'AAECAwQFBgcICQoLDA0ODw', minEpoch: undefined, notAfter: 1767225600 })
 *     set.covers({ …, sid: 'AAECAwQFBgcICQoLDA0ODw' }) // 'sid'
 */
export type RevocationSet = {
  /**
   * Returns whether the entry changed anything. Throws a TypeError for an entry that cannot be one.
   */
  add(entry: RevocationEntry): boolean
  /**
   * The kind of an entry that covers a token with these facts, or undefined. Pass what a verified
   * token says, nothing else. An id that is not 16 bytes of canonical base64url is never covered:
   * the verifier refuses a token with such an id.
   */
  revokedBy(facts: RevocationFacts): RevocationKind | undefined
  isKeyRevoked(kid: string): boolean
  /** The entries of kind `kid`. */
  revokedKeys(): Iterable<RevocationEntry>
  /** All that are held, in no order, one at a time. What is added or dropped meanwhile may be missing. */
  entries(): Iterable<RevocationEntry>
  /**
   * Forgets entries whose `notAfter` is before then, seconds since the Unix epoch, and gives memory
   * back.
   */
  dropEnded(nowSeconds: number): void
  /** Tokens with a lower global epoch are dead; 0 when no entry of kind `everyone` is held. */
  readonly globalEpoch: number
  /** How many entries are held. */
  readonly size: number
  /**
   * Memory that the entries take, bytes: that of the tables exactly, that of revoked keys about.
   */
  readonly bytes: number
}

/** A text of 43 characters, a number and their place in a Map. */
const bytesOfKid = 128

/**
 * Ids are compared whole, never by a hash or a filter: nobody is refused by accident. All of it is
 * typed arrays but for the few revoked keys, so that a million entries are nothing to the garbage
 * collector.
 */
class ExactRevocationSet implements RevocationSet {
  readonly #jti = new IdTable(plainSlotWords)
  readonly #sid = new IdTable(plainSlotWords)
  readonly #sub = new IdTable(epochSlotWords)
  readonly #claims = new IdTable(epochSlotWords)
  /** The end of each revoked key. There are few: an ordinary Map will do. */
  readonly #kids = new Map<string, number>()
  #globalEpoch = 0
  /** 0 while no entry of kind `everyone` is held. */
  #globalNotAfter = 0

  get size(): number {
    const ids = this.#jti.size + this.#sid.size + this.#sub.size + this.#claims.size
    return ids + this.#kids.size + (this.#globalNotAfter === 0 ? 0 : 1)
  }

  get bytes(): number {
    const ids = this.#jti.bytes + this.#sid.bytes + this.#sub.bytes + this.#claims.bytes
    return ids + this.#kids.size * bytesOfKid
  }

  get globalEpoch(): number {
    return this.#globalEpoch
  }

  add(entry: RevocationEntry): boolean {
    const problem = numberProblem(entry)
    if (problem !== undefined) throw new TypeError(`cannot hold a revocation: ${problem}`)
    const { kind, key, minEpoch = 0, notAfter } = entry
    switch (kind) {
      case 'jti':
        return this.#jti.add(key, notAfter, minEpoch)
      case 'sid':
        return this.#sid.add(key, notAfter, minEpoch)
      case 'sub':
        return this.#sub.add(key, notAfter, minEpoch)
      case 'claims':
        return this.#claims.add(key, notAfter, minEpoch)
      case 'kid':
        return this.#addKid(key, notAfter)
      case 'everyone':
        return this.#addEveryone(key, notAfter, minEpoch)
      default:
        throw new TypeError('cannot hold a revocation: unknown kind')
    }
  }

  /**
   * The kinds are asked from the widest to the narrowest, as that says most to whoever reads a log.
   */
  revokedBy({ jti, sid, sub, kid, aep }: RevocationFacts): RevocationKind | undefined {
    const [global, account, claims] = aep
    if (global < this.#globalEpoch) return 'everyone'
    if (this.isKeyRevoked(kid)) return 'kid'
    // Without an entry the epoch is -1, below every token's.
    if (account < this.#sub.minEpochOf(sub)) return 'sub'
    if (claims < this.#claims.minEpochOf(sub)) return 'claims'
    if (this.#sid.minEpochOf(sid) >= 0) return 'sid'
    return this.#jti.minEpochOf(jti) >= 0 ? 'jti' : undefined
  }

  isKeyRevoked(kid: string): boolean {
    return this.#kids.size > 0 && this.#kids.has(kid)
  }

  *revokedKeys(): Iterable<RevocationEntry> {
    for (const [key, notAfter] of this.#kids) {
      yield { kind: 'kid', key, minEpoch: undefined, notAfter }
    }
  }

  *entries(): Iterable<RevocationEntry> {
    for (const [kind, table] of [
      ['jti', this.#jti],
      ['sid', this.#sid],
    ] as const) {
      for (const [key, notAfter] of table.entries())
        yield { kind, key, minEpoch: undefined, notAfter }
    }
    for (const [kind, table] of [
      ['sub', this.#sub],
      ['claims', this.#claims],
    ] as const) {
      for (const [key, notAfter, minEpoch] of table.entries())
        yield { kind, key, minEpoch, notAfter }
    }
    yield* this.revokedKeys()
    if (this.#globalNotAfter === 0) return
    const notAfter = this.#globalNotAfter
    yield { kind: 'everyone', key: '', minEpoch: this.#globalEpoch, notAfter }
  }

  dropEnded(nowSeconds: number): void {
    for (const table of [this.#jti, this.#sid, this.#sub, this.#claims]) table.dropEnded(nowSeconds)
    for (const [kid, notAfter] of this.#kids) if (notAfter < nowSeconds) this.#kids.delete(kid)
    if (this.#globalNotAfter < nowSeconds) {
      this.#globalEpoch = 0
      this.#globalNotAfter = 0
    }
  }

  #addKid(kid: string, notAfter: number): boolean {
    if (!isKeyOf('kid', kid)) throw new TypeError('cannot hold a revocation: not the kid of a key')
    if (notAfter <= (this.#kids.get(kid) ?? 0)) return false
    this.#kids.set(kid, notAfter)
    return true
  }

  #addEveryone(key: string, notAfter: number, minEpoch: number): boolean {
    if (key !== '') throw new TypeError('cannot hold a revocation: everyone has no key')
    const changed = minEpoch > this.#globalEpoch || notAfter > this.#globalNotAfter
    this.#globalEpoch = Math.max(this.#globalEpoch, minEpoch)
    this.#globalNotAfter = Math.max(this.#globalNotAfter, notAfter)
    return changed
  }
}

/**
 * An empty set. It grows by itself: 1,000,000 tokens or sessions take at most 32 MB, as many accounts
 * or changes of roles 45 MB, and give it back once they have ended.
 */
export const createRevocationSet = (): RevocationSet => new ExactRevocationSet()
