import { randomInt } from 'node:crypto'

export type SimulationSettings = { readonly seeds: readonly number[]; readonly steps: number }

const numberFrom = (name: string): number | undefined => {
  const text = process.env[name]
  if (text === undefined || text === '') return undefined
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${name} is not a whole number`)
  return value
}

/** The default, unless `SEED` asks for one run again or `STEPS` for shorter or longer ones. Zero among the seeds stands for a new one. */
export const simulationSettings = (byDefault: SimulationSettings): SimulationSettings => {
  const seed = numberFrom('SEED')
  const seeds = byDefault.seeds.map((known) => known || randomInt(1, 2 ** 31))
  return {
    seeds: seed === undefined ? seeds : [seed],
    steps: numberFrom('STEPS') ?? byDefault.steps,
  }
}
