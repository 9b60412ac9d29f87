import { randomFillSync } from 'node:crypto'

/** The only place that asks the machine for the time; everything else is handed a `Clock`, so that tests can set it. */
export type Clock = {
  /** Wall-clock time, milliseconds since the Unix epoch. In the service this is Postgres's time: see `database-clock.ts`. */
  readonly nowMs: () => number
  /** A clock that never goes back, milliseconds from an arbitrary start: for waiting and measuring. */
  readonly monotonicMs: () => number
}

/** The clocks of this machine. `nowMs` decides nothing: it is only compared with Postgres's. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}

/**
 * What the safety of revocation rests on, each number once: entries of the log and retired keys are kept until the last token that they
 * can concern has expired by anybody's clock. The verifiers and the triggers of the database hold to the same numbers; test/lib/token-times.test.ts compares.
 */

/**
 * The longest life of an access token. Verifiers refuse a longer one. What has to outlast tokens goes by this and not by
 * `ACCESS_TOKEN_SECONDS`: the tokens that are out may be of an instance with another setting.
 */
export const longestTokenSeconds = 900

/** By how much the clocks of verifiers may be behind. */
export const leewaySeconds = 30

/** A mint that read its facts, or took its key, before they changed may be this late by the clock of who revoked: see `TokenSubject`. */
export const mintSlackSeconds = 40

/** A source of unpredictable bytes. Handed in, so that a test can replay a run; the product has one, the CSPRNG. */
export type Random = (byteCount: number) => Buffer

/** A number from 0 up to 1, in steps of 1/256: enough to keep instances out of step. */
export const fractionOf = (random: Random): (() => number) =>
  function fraction() {
    return random(1).readUInt8() / 256
  }

/** A call of the CSPRNG costs some microseconds whatever its size, so small requests share one. */
const poolBytes = 4096

const pool = Buffer.alloc(poolBytes)
let used = poolBytes

/** Bytes are handed out once and erased here, so that the pool never holds a secret that is in use. */
const fromPool = (byteCount: number): Buffer => {
  if (used + byteCount > poolBytes) {
    randomFillSync(pool)
    used = 0
  }
  const taken = pool.subarray(used, used + byteCount)
  const bytes = Buffer.from(taken)
  taken.fill(0)
  used += byteCount
  return bytes
}

export const systemRandom: Random = (byteCount) =>
  byteCount > poolBytes / 16 ? randomFillSync(Buffer.alloc(byteCount)) : fromPool(byteCount)

/** Ids are 16 random bytes (128 bits; a UUIDv4 has 122), written as 22 characters of base64url. */
const idBytes = 16

/** Exactly the canonical spellings: the last character carries 2 bits of the id, so only four can end one. */
export const idPattern = '^[A-Za-z0-9_-]{21}[AQgw]$'

const idExpression = new RegExp(idPattern)

export const newId = (random: Random): string => random(idBytes).toString('base64url')

export const isId = (text: string): boolean => idExpression.test(text)

/** The 16 bytes of an id that has been checked with `isId` or by a schema. */
export const idToBytes = (id: string): Buffer => Buffer.from(id, 'base64url')

export const idFromBytes = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
