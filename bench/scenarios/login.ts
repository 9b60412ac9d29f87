import { loadConfig } from '../../src/config/index.ts'
import type { BareHashCalls } from '../children/bare-hash.ts'
import { peopleSigningIn } from '../logging-in.ts'
import { detailOf, measure } from '../measured.ts'
import { addAccounts, hashOfPassword, password } from '../people.ts'
import { alternate } from '../rounds.ts'
import { comparison, perSecond } from '../row.ts'
import type { Scenario } from '../scenario.ts'

/** So many that hardly any account logs in twice, and none has more sessions than allowed. */
const accounts = 4000

const clients = 16

/**
 * `POST /login` with the correct password, compared with only the verification of that hash, with as many in parallel as the service
 * allows.
 */
export const login: Scenario = {
  name: 'login',
  run: async (stage) => {
    const database = await stage.database('login')
    const phc = await hashOfPassword()
    await addAccounts(database, accounts, phc)
    const server = await stage.server(database)
    const bare = stage.child<BareHashCalls>('bare-hash')
    const engine = await bare.call('engine', null)
    const { hashConcurrency: atOnce } = loadConfig({})
    const logIn = peopleSigningIn(accounts)
    const sides = await alternate(
      {
        ours: async (seconds) =>
          await measure(stage, [server], () => logIn(server.address, clients, { seconds })),
        limit: async (seconds) =>
          await measure(stage, [], () =>
            bare.call('run', { phc, password, atOnce, extent: { seconds } }),
          ),
      },
      stage.seconds,
    )
    await server.end()
    await bare.end()
    const name = `login / bare argon2id (${engine}), ${atOnce} hashed at once`
    return {
      rows: [comparison({ what: name, unit: '/s', hold: { atLeast: 0.95 } }, perSecond, sides)],
      details: [
        detailOf(`login, ${clients} at once`, sides.ours),
        detailOf(`bare argon2id, ${atOnce} at once`, sides.limit),
      ],
    }
  },
}
