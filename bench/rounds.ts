import type { Sample } from './sample.ts'

const rounds = 3

/** One round of one side, of so many seconds. */
export type Side = (seconds: number) => Promise<Sample>

export type Sides<Of> = { readonly ours: Of; readonly limit: Of }

/**
 * Warms both sides up, then lets them take turns (limit, ours, limit, ours, …), so that a machine that slows down in the middle
 * slows both.
 */
export const alternate = async (sides: Sides<Side>, seconds: number): Promise<Sides<Sample[]>> => {
  const samples: Sides<Sample[]> = { ours: [], limit: [] }
  await sides.limit(seconds)
  await sides.ours(seconds)
  for (let round = 0; round < rounds; round += 1) {
    samples.limit.push(await sides.limit(seconds))
    samples.ours.push(await sides.ours(seconds))
  }
  return samples
}
