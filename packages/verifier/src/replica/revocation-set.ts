import { isKeyOf, numberProblem } from '../wire/entry-rules.ts'
import { readId, textOf } from '../wire/id-words.ts'
import type { RevocationEntry, RevocationKind } from '../wire/revocation-entry.ts'
import { epochSlotWords, hashOf, IdSegment, plainSlotWords } from './id-segment.ts'
import type { RevocationFacts } from './revocation-facts.ts'

/**
 * A table in segments. One segment grows or is cleaned in a millisecond even with a million ids, and only its own old and new arrays exist
 * meanwhile. A single table would block the process for a tenth of a second and take twice the memory.
 */
const segmentBits = 6
const segmentShift = 32 - segmentBits

/** The words of the id that is being looked up. One buffer is enough, because lookups are synchronous. */
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

  /** Returns whether anything changed. Throws a TypeError when `id` is not the canonical text of 16 bytes. */
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

  /** The epoch of an id, 0 in a table without epochs, and -1 for an id that is not in it or is invalid. */
  minEpochOf(id: string): number {
    // Most replicas hold no entries of most kinds, and parsing the id is most of the work.
    if (this.#size === 0 || !readId(id, words)) return -1
    const hash = hashOf(words, 0)
    return this.#segments[hash >>> segmentShift]?.minEpochOf(words, hash) ?? -1
  }

  /** Each id with its end and its epoch. Ids that are added or removed meanwhile may be missing. */
  *entries(): Generator<[id: string, notAfter: number, minEpoch: number]> {
    for (const segment of this.#segments) {
      for (const [id, notAfter, minEpoch] of segment.entries()) {
        yield [textOf(id), notAfter, minEpoch]
      }
    }
  }

  /** Removes ids whose end is before this time, seconds since the Unix epoch. */
  dropEnded(nowSeconds: number): void {
    for (const segment of this.#segments) segment.dropEnded(nowSeconds)
    this.#size = this.#segments.reduce((sum, segment) => sum + segment.size, 0)
  }
}

/**
 * The revocations in memory. Entries only accumulate: neither their order nor repetitions matter. Of
 * two entries for the same key the higher epoch and the later end apply.
 *
 *     const set = createRevocationSet()
 *     set.add({ kind: 'sid', key: 'AAECAwQFBgcICQoLDA0ODw', minEpoch: undefined, notAfter: 1767225600 })
 *     set.revokedBy({ …, sid: 'AAECAwQFBgcICQoLDA0ODw' }) // 'sid'
 */
export type RevocationSet = {
  /** Returns whether the entry changed anything. Throws a TypeError for an invalid entry. */
  add(entry: RevocationEntry): boolean
  /**
   * The kind of an entry that revokes a token with these facts, or undefined. Pass the claims of a verified token only. An id that is not
   * 16 bytes of canonical base64url is never revoked: the verifier refuses a token with such an id.
   */
  revokedBy(facts: RevocationFacts): RevocationKind | undefined
  isKeyRevoked(kid: string): boolean
  /** The entries of kind `kid`. */
  revokedKeys(): Iterable<RevocationEntry>
  /** The held entries, one at a time, unordered. Entries that are added or dropped meanwhile may be missing. */
  entries(): Iterable<RevocationEntry>
  /** Drops entries whose `notAfter` is before this time, seconds since the Unix epoch, and frees memory. */
  dropEnded(nowSeconds: number): void
  /** Tokens with a lower global epoch are revoked; 0 without an entry of kind `everyone`. */
  readonly globalEpoch: number
  /** The number of held entries. */
  readonly size: number
  /** Memory of the entries in bytes: exact for the tables, estimated for revoked keys. */
  readonly bytes: number
}

/** A text of 43 characters, a number and their place in a Map. */
const bytesOfKid = 128

/**
 * Ids are compared completely, never by a hash or a filter, so no token is refused by accident. Everything except the few revoked keys is
 * in typed arrays, so a million entries do not burden the garbage collector.
 */
class ExactRevocationSet implements RevocationSet {
  readonly #jti = new IdTable(plainSlotWords)
  readonly #sid = new IdTable(plainSlotWords)
  readonly #sub = new IdTable(epochSlotWords)
  readonly #claims = new IdTable(epochSlotWords)
  /** The end of each revoked key. There are few, so a Map is enough. */
  readonly #kids = new Map<string, number>()
  #globalEpoch = 0
  /** 0 without an entry of kind `everyone`. */
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

  /** The kinds are checked from the widest to the narrowest, because the widest says most in a log. */
  revokedBy({ jti, sid, sub, kid, aep }: RevocationFacts): RevocationKind | undefined {
    const [global, account, claims] = aep
    if (global < this.#globalEpoch) return 'everyone'
    if (this.isKeyRevoked(kid)) return 'kid'
    // Without an entry the epoch is -1, below that of every token.
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
 * An empty set. It grows by itself: 1,000,000 tokens or sessions take at most 32 MB, as many accounts or changes of roles 45 MB. The memory
 * is freed once they have ended.
 */
export const createRevocationSet = (): RevocationSet => new ExactRevocationSet()
