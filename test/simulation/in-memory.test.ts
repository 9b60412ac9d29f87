import { afterAll, expect, test, vi } from 'vitest'
import { simulationSettings } from '../support/run/simulation-settings.ts'
import { databaseFaults } from './faults.ts'
import { memoryTruth } from './memory-truth.ts'
import { simulate } from './run.ts'

vi.mock('node:timers/promises', () => import('./simulated-timers.ts'))

/** The same every time, and so many that each planted bug of `npm run test:mutants` is met by some; `SEED=0` takes a new one. */
const { seeds, steps } = simulationSettings({ seeds: [1, 2, 3, 4, 5, 6, 11], steps: 40_000 })

const size = { instances: 2, nodes: 3, accounts: 12 }

/** What all runs together must have put to the test so often, else they have shown nothing. */
const atStake: readonly (readonly [what: string, least: number])[] = [
  ['refused: dead', 10_000],
  ['accepted: alive', 2_000],
  ['refused: rewritten', 10],
  ['refresh of an ended session', 500],
  ['signed late', 200],
  ['crash', 5],
  ['fail-over', 5],
  ['restore', 1],
]

const total = new Map<string, number>()

test.each(seeds)(`I1-I12 hold through ${steps} random steps from SEED=%i`, async (seed) => {
  const tally = await simulate({
    seed,
    steps,
    size,
    makeTruth: memoryTruth,
    databaseFaults,
  })
  for (const [what, often] of tally) total.set(what, (total.get(what) ?? 0) + often)
})

afterAll(() => {
  // Of a run that was cut short, or that failed, less can be asked.
  if (seeds.length < 7 || steps < 40_000 || total.size === 0) return
  for (const [what, least] of atStake) {
    expect(total.get(what) ?? 0, what).toBeGreaterThanOrEqual(least)
  }
})
