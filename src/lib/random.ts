import { randomFillSync } from 'node:crypto'

/** A source of unpredictable bytes. Handed in, so that a test can replay a run; the product has one, the CSPRNG. */
export type Random = (byteCount: number) => Buffer

/** A number from 0 up to 1, in steps of 1/256: enough to keep instances out of step. */
export const fractionOf =
  (random: Random): (() => number) =>
  () =>
    random(1).readUInt8() / 256

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
