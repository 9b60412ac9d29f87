import { randomBytes } from 'node:crypto'

/** A source of unpredictable bytes. Handed in, so that a test can replay a run; the product has one, the CSPRNG. */
export type Random = (byteCount: number) => Buffer

export const systemRandom: Random = (byteCount) => randomBytes(byteCount)
