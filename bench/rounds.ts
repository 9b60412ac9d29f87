import type { Sample } from './sample.ts'

const rounds = 3

/** One round of one side, of so many seconds. */
export type Side = (seconds: number) => Promise<Sample>

export type Sides<Of> = { readonly ours: Of; readonly limit: Of }

/** Warms all up, then lets them take turns in their order, so that a machine that slows down in the middle slows them all. */
export const inTurns = async <Name extends string>(
  sides: Readonly<Record<Name, Side>>,
  seconds: number,
): Promise<Record<Name, Sample[]>> => {
  const names = Object.keys(sides) as Name[]
  const samples = {} as Record<Name, Sample[]>
  for (const name of names) {
    await sides[name](seconds)
    samples[name] = []
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const name of names) samples[name].push(await sides[name](seconds))
  }
  return samples
}

/** Two of them: limit, ours, limit, ours, … */
export const alternate = async (
  { limit, ours }: Sides<Side>,
  seconds: number,
): Promise<Sides<Sample[]>> => await inTurns({ limit, ours }, seconds)
