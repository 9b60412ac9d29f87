import { randomFillSync } from 'node:crypto'

/** The only place that reads the machine's time. All other code receives a `Clock`, so that tests can set it. */
export type Clock = {
  /** Wall-clock time, milliseconds since the Unix epoch. In the service this is the time of Postgres: see `database-clock.ts`. */
  readonly nowMs: () => number
  /** A clock that never goes back, milliseconds from an arbitrary start. For waiting and measuring. */
  readonly monotonicMs: () => number
}

/** The clocks of this machine. Its `nowMs` decides nothing; it is only compared with that of Postgres. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}

/**
 * The times that make revocation safe, each defined once. Entries of the log and retired keys are kept until the last token that they
 * affect has expired by every clock. The verifiers and the triggers of the database use the same numbers; test/lib/token-times.test.ts
 * compares them.
 */

/**
 * The maximum lifetime of an access token. Verifiers refuse a longer one. Retention depends on this and not on `ACCESS_TOKEN_SECONDS`,
 * because a process with another setting may have issued the tokens.
 */
export const longestTokenSeconds = 900

/** How far the clocks of verifiers may be behind. */
export const leewaySeconds = 30

/** How late a token may be signed after its facts or key were read, by the clock of the process that revokes: see `TokenSubject`. */
export const mintSlackSeconds = 40

/** A source of unpredictable bytes: the CSPRNG. It is passed in, so that a test can replay a run. */
export type Random = (byteCount: number) => Buffer

/** A number in [0, 1) in steps of 1/256: enough to keep processes out of step. */
export const fractionOf = (random: Random): (() => number) =>
  function fraction() {
    return random(1).readUInt8() / 256
  }

/** A call of the CSPRNG costs some microseconds for any size, so small requests share one. */
const poolBytes = 4096

const pool = Buffer.alloc(poolBytes)
let used = poolBytes

/** Each byte is used once and erased here, so that the pool never contains a secret in use. */
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

/** The canonical spellings only: the last character carries 2 bits of the id, so only four characters can be last. */
export const idPattern = '^[A-Za-z0-9_-]{21}[AQgw]$'

const idExpression = new RegExp(idPattern)

export const newId = (random: Random): string => random(idBytes).toString('base64url')

export const isId = (text: string): boolean => idExpression.test(text)

/** The 16 bytes of an id that was checked with `isId` or by a schema. */
export const idToBytes = (id: string): Buffer => Buffer.from(id, 'base64url')

export const idFromBytes = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url')
