import { expect, test } from 'vitest'
import { control, killed } from './cases.ts'
import { runTrial } from './trial.ts'

/** Of a machine that is many times slower than ours. */
const patienceMs = 600_000

test.concurrent(
  'everything that the trial counts is counted when it is planted, and thieves are caught',
  async () => {
    const { problems, notes } = await runTrial(control)
    expect(problems, notes.join('\n')).toEqual([])
  },
  patienceMs,
)

test.concurrent(
  'R46, R73: processes are killed under people who refresh: nobody is logged out, and nothing that was revoked is accepted',
  async () => {
    const { problems, notes } = await runTrial({ ...killed, people: 25 })
    expect(problems, notes.join('\n')).toEqual([])
  },
  patienceMs,
)
