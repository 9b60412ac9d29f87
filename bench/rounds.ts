import type { Sample } from './sample.ts'

const rounds = 3

/** One round of one side, with this duration in seconds. */
export type Side = (seconds: number) => Promise<Sample>

export type Sides<Of> = { readonly ours: Of; readonly limit: Of }

/** Warms all up, then runs them in turn, so that a slowdown of the machine affects all of them. */
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

/** The same for two of them: limit, ours, limit, ours, … */
export const alternate = async (
  { limit, ours }: Sides<Side>,
  seconds: number,
): Promise<Sides<Sample[]>> => await inTurns({ limit, ours }, seconds)
