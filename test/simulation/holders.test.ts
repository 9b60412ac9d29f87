import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { simulationSettings } from '../support/run/simulation-settings.ts'
import { simulateHolders } from './holders-run.ts'
import { memoryTruth } from './memory-truth.ts'
import { type OwnDatabase, ownDatabase } from './own-database.ts'
import { postgresTruth } from './postgres-truth.ts'

vi.mock('node:timers/promises', () => import('./simulated-timers.ts'))

/** What all runs together must have put to the test so often, else they have shown nothing. */
const atStake: readonly (readonly [what: string, least: number])[] = [
  ['issued', 1_000],
  ['response lost', 100],
  ['killed before the jar was written', 100],
  ['not begun: the caller has gone', 1],
  ['ended: apart', 10],
  ['ended: alike', 5],
  ['refused: idle_expired', 1],
  ['refused: absolute_expired', 1],
]

const addTo = (total: Map<string, number>, tally: ReadonlyMap<string, number>): void => {
  for (const [what, often] of tally) total.set(what, (total.get(what) ?? 0) + often)
}

describe('with the sessions in memory', () => {
  const { seeds, steps } = simulationSettings({ seeds: [1, 2, 3, 4, 5, 6, 7, 8], steps: 40_000 })
  const total = new Map<string, number>()

  test.each(seeds)(`I13, I14 hold through ${steps} random steps from SEED=%i`, async (seed) => {
    addTo(total, await simulateHolders({ seed, steps, makeTruth: memoryTruth }))
  })

  afterAll(() => {
    // Of a run that was cut short, or that failed, less can be asked.
    if (seeds.length < 8 || steps < 40_000 || total.size === 0) return
    for (const [what, least] of atStake) {
      expect(total.get(what) ?? 0, what).toBeGreaterThanOrEqual(least)
    }
  })
})

describe('with the sessions in Postgres', () => {
  let own: OwnDatabase

  beforeAll(async () => {
    own = await ownDatabase()
  })
  afterAll(() => own.stop())

  const { seeds, steps } = simulationSettings({ seeds: [1, 2], steps: 3_000 })

  test.each(seeds)(`I13, I14 hold through ${steps} random steps from SEED=%i`, async (seed) => {
    const makeTruth = (options: { readonly accessTokenSeconds: number }) =>
      postgresTruth({ ...options, ...own })
    const tally = await simulateHolders({ seed, steps, makeTruth })
    expect(tally.get('issued')).toBeGreaterThan(0)
  })
})
