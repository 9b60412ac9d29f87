import { detailOf, measure } from '../measured.ts'
import { addAccounts, addSessions } from '../people.ts'
import { range, refreshersOf } from '../refreshing.ts'
import { alternate } from '../rounds.ts'
import { comparison, p99Ms, perSecond } from '../row.ts'
import type { Scenario } from '../scenario.ts'
import type { Stage } from '../stage.ts'

const few = 1000
const many = 1_000_000
const atOnce = 16
/** Sessions of the million, spread over the whole table. More than are refreshed in a run, so that each is used once. */
const used = 100_000

const sizes = {
  few: { name: 'thousand', sessions: few, accounts: few, numbers: range(0, few) },
  many: {
    name: 'million',
    sessions: many,
    accounts: many / 10,
    // A prime step visits the table in an order that is unrelated to its pages.
    numbers: range(0, used).map((place) => (place * 611_953) % many),
  },
}

/**
 * After a checkpoint the first change of a page writes the whole page to the log. In a service that has run for minutes most pages have
 * changed since the last one. Touching one row of each page puts the table into that state.
 */
const touchEveryPage = `UPDATE sessions SET last_used_at = last_used_at WHERE ctid = ANY (ARRAY(
  SELECT min(ctid) FROM sessions GROUP BY (ctid::text::point)[0]))`

const prepare = async (stage: Stage, { name, sessions, accounts, numbers }: typeof sizes.few) => {
  const database = await stage.database(name)
  await addAccounts(database, accounts, 'never verified here')
  await addSessions(database, sessions, accounts)
  await database.ask('CHECKPOINT')
  await database.ask(touchEveryPage)
  return { server: await stage.server(database), refreshers: refreshersOf(numbers) }
}

/** The same load on a table with a million sessions and on one with a thousand. */
export const million: Scenario = {
  name: 'million',
  run: async (stage) => {
    const small = await prepare(stage, sizes.few)
    const large = await prepare(stage, sizes.many)
    const sideOf =
      ({ server, refreshers }: typeof small) =>
      async (seconds: number) =>
        await measure(stage, [server], () => refreshers.run(server.address, atOnce, { seconds }))
    const sides = await alternate({ ours: sideOf(large), limit: sideOf(small) }, stage.seconds)
    await small.server.end()
    await large.server.end()
    return {
      rows: [
        comparison(
          { what: 'refresh at 1,000,000 sessions / at 1,000', unit: '/s', hold: { atLeast: 0.75 } },
          perSecond,
          sides,
        ),
        comparison(
          { what: 'refresh p99 at 1,000,000 sessions / at 1,000', unit: 'ms' },
          p99Ms,
          sides,
        ),
      ],
      details: [
        detailOf('refresh, 1,000,000 sessions', sides.ours),
        detailOf('refresh, 1,000 sessions', sides.limit),
      ],
    }
  },
}
