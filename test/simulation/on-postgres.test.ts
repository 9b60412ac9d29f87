import { afterAll, expect, test, vi } from 'vitest'
import { simulationSettings } from '../support/run/simulation-settings.ts'
import { ownDatabase } from './own-database.ts'
import { postgresTruth } from './postgres-truth.ts'
import { simulate } from './run.ts'

vi.mock('node:timers/promises', () => import('./simulated-timers.ts'))

const own = await ownDatabase()
afterAll(() => own.stop())

const { seeds, steps } = simulationSettings({ seeds: [1, 2, 3], steps: 4_000 })

test.each(seeds)(
  `I1-I12 hold with the log and the sessions in Postgres through ${steps} random steps from SEED=%i`,
  async (seed) => {
    const tally = await simulate({
      seed,
      steps,
      size: { instances: 2, nodes: 2, accounts: 4 },
      makeTruth: (options) => postgresTruth({ ...options, ...own }),
    })
    expect(tally.get('refused: dead')).toBeGreaterThan(0)
  },
)
