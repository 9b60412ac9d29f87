import { randomInt } from 'node:crypto'

export type SimulationSettings = { readonly seeds: readonly number[]; readonly steps: number }

const numberFrom = (name: string): number | undefined => {
  const text = process.env[name]
  if (text === undefined || text === '') return undefined
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${name} is not a whole number`)
  return value
}

/** The default, unless `SEED` asks for one run again (0: for a new one), or `STEPS` for shorter or longer ones. */
export const simulationSettings = (byDefault: SimulationSettings): SimulationSettings => {
  const seed = numberFrom('SEED')
  return {
    seeds: seed === undefined ? byDefault.seeds : [seed || randomInt(1, 2 ** 31)],
    steps: numberFrom('STEPS') ?? byDefault.steps,
  }
}
