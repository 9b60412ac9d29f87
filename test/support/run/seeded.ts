import { randomInt } from 'node:crypto'

export type Seeded = {
  /** For the message of a failed expectation: the same number gives the same run. */
  readonly seed: number
  /** A whole number from 0 up to, and not including, `below`. */
  readonly next: (below: number) => number
  /** A new list in another order. */
  readonly shuffle: <T>(list: readonly T[]) => T[]
}

/** Chance that can be repeated (mulberry32): for properties that hold in every order. */
export const seeded = (seed = randomInt(2 ** 31)): Seeded => {
  let state = seed
  const next = (below: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
  const shuffle = <T>(list: readonly T[]): T[] => {
    const rest = [...list]
    const shuffled: T[] = []
    while (rest.length > 0) shuffled.push(...rest.splice(next(rest.length), 1))
    return shuffled
  }
  return { seed, next, shuffle }
}
