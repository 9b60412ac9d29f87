import { detailOf, measure } from '../measured.ts'
import { addAccounts, addSessions } from '../people.ts'
import { range, refreshersOf } from '../refreshing.ts'
import { alternate } from '../rounds.ts'
import { comparison, perSecond } from '../row.ts'
import { medianSample, type Sample } from '../sample.ts'
import type { Scenario } from '../scenario.ts'

const sessions = 1000
const atOnce = 32

/** Combines the two halves of one load: rates add up, and the times are those of the slower half. */
const together = (halves: readonly Sample[]): Sample => ({
  ...medianSample(halves),
  perSecond: halves.reduce((sum, half) => sum + half.perSecond, 0),
  p99Ms: Math.max(...halves.map((half) => half.p99Ms)),
})

/** The same load on two processes of the service and on one, all beside their Postgres. The shares of CPU show what limits them. */
export const twoProcesses: Scenario = {
  name: 'two-processes',
  run: async (stage) => {
    const database = await stage.database('two_processes')
    await addAccounts(database, sessions, 'never verified here')
    await addSessions(database, 2 * sessions, sessions)
    const first = await stage.server(database)
    const second = await stage.server(database)
    const [some, others] = [
      refreshersOf(range(0, sessions)),
      refreshersOf(range(sessions, sessions)),
    ]
    const sides = await alternate(
      {
        ours: async (seconds) =>
          await measure(stage, [first, second], async () =>
            together(
              await Promise.all([
                some.run(first.address, atOnce / 2, { seconds }),
                others.run(second.address, atOnce / 2, { seconds }),
              ]),
            ),
          ),
        limit: async (seconds) =>
          await measure(stage, [first], () => some.run(first.address, atOnce, { seconds })),
      },
      stage.seconds,
    )
    await first.end()
    await second.end()
    return {
      rows: [
        comparison(
          { what: `refresh, ${atOnce} at once, two processes / one`, unit: '/s' },
          perSecond,
          sides,
        ),
      ],
      details: [
        detailOf('refresh, two processes', sides.ours),
        detailOf('refresh, one process', sides.limit),
      ],
    }
  },
}
