import type { Random } from '../../src/lib/machine.ts'
import { seeded } from '../support/run/seeded.ts'

/** All chance of a run: the same seed gives the same run. */
export type Dice = {
  readonly seed: number
  /** A whole number from 0 up to, and not including, `below`. */
  readonly next: (below: number) => number
  /** True that often in a thousand. */
  readonly perMille: (often: number) => boolean
  /** A whole number from `least` to `most`, both included. */
  readonly between: (least: number, most: number) => number
  readonly pick: <T>(list: readonly T[]) => T | undefined
  readonly shuffle: <T>(list: readonly T[]) => T[]
  /** From 0 up to, and not including, 1. */
  readonly fraction: () => number
  readonly bytes: Random
}

export const diceOf = (seed: number): Dice => {
  const { next, shuffle } = seeded(seed)
  return {
    seed,
    next,
    shuffle,
    perMille: (often) => next(1000) < often,
    between: (least, most) => least + next(most - least + 1),
    pick: (list) => list[next(list.length)],
    fraction: () => next(2 ** 31) / 2 ** 31,
    bytes: (count) => Buffer.from(Array.from({ length: count }, () => next(256))),
  }
}
