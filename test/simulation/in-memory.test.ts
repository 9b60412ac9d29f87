import { expect, test, vi } from 'vitest'
import { simulationSettings } from '../support/simulation-settings.ts'
import { databaseFaults } from './faults.ts'
import { memoryTruth } from './memory-truth.ts'
import { simulate } from './run.ts'

vi.mock('node:timers/promises', () => import('./simulated-timers.ts'))

/** Every run is another one when the code changes, so one new seed a run costs nothing in steadiness and finds more. */
const { seeds, steps } = simulationSettings({ seeds: [1, 2, 3, 4, 0], steps: 22_000 })

const size = { instances: 2, nodes: 3, accounts: 12 }

/** What a run of that many steps must have put to the test, else it has shown nothing. */
const atStake = ['refused: dead', 'accepted: alive', 'refresh of an ended session']

test.each(seeds)(`I1-I12 hold through ${steps} random steps from SEED=%i`, async (seed) => {
  const tally = await simulate({
    seed,
    steps,
    size,
    makeTruth: memoryTruth,
    databaseFaults,
  })
  if (steps < 5_000) return
  for (const what of atStake) expect(tally.get(what) ?? 0, what).toBeGreaterThan(100)
})
