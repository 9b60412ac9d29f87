import { peopleSigningIn } from '../logging-in.ts'
import { detailOf, measure } from '../measured.ts'
import { addAccounts, addSessions, hashOfPassword } from '../people.ts'
import { range, refreshersOf } from '../refreshing.ts'
import { alternate } from '../rounds.ts'
import { comparison, p99Ms, perSecond } from '../row.ts'
import type { Sample } from '../sample.ts'
import type { Scenario } from '../scenario.ts'

const accounts = 4000
const sessions = 1000
const refreshersAtOnce = 16
/** Below HASH_QUEUE, so that all are served: refusing them would be cheaper. */
const loginsAtOnce = 32

/** `/refresh` while users log in as fast as the service allows, compared with the same without logins. */
export const storm: Scenario = {
  name: 'storm',
  run: async (stage) => {
    const database = await stage.database('storm')
    await addAccounts(database, accounts, await hashOfPassword())
    await addSessions(database, sessions, accounts)
    const server = await stage.server(database)
    const refreshers = refreshersOf(range(0, sessions))
    const logIn = peopleSigningIn(accounts)
    const stormy: Sample[] = []
    const quiet = async (seconds: number) =>
      await refreshers.run(server.address, refreshersAtOnce, { seconds })
    const sides = await alternate(
      {
        limit: async (seconds) => await measure(stage, [server], () => quiet(seconds)),
        ours: async (seconds) => {
          const logins = logIn(server.address, loginsAtOnce, { seconds })
          const sample = await measure(stage, [server], () => quiet(seconds))
          stormy.push(await logins)
          return sample
        },
      },
      stage.seconds,
    )
    await server.end()
    return {
      rows: [
        comparison(
          { what: 'refresh p99 in a storm of logins / quiet', unit: 'ms', hold: { atMost: 2 } },
          p99Ms,
          sides,
        ),
        comparison({ what: 'refresh in a storm of logins / quiet', unit: '/s' }, perSecond, sides),
      ],
      details: [
        detailOf(`refresh, ${refreshersAtOnce} at once, storm`, sides.ours),
        detailOf(`refresh, ${refreshersAtOnce} at once, quiet`, sides.limit),
        detailOf(`login, ${loginsAtOnce} at once, beside refreshes`, stormy.slice(1)),
      ],
    }
  },
}
