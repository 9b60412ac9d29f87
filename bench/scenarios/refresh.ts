import type { BareStatementCalls } from '../children/bare-statement.ts'
import { detailOf, measure } from '../measured.ts'
import { addAccounts, addSessions, bareSession } from '../people.ts'
import { range, refreshersOf } from '../refreshing.ts'
import { alternate } from '../rounds.ts'
import { comparison, type Findings, figure, p99Ms, perSecond } from '../row.ts'
import type { Scenario } from '../scenario.ts'
import type { Server, Stage } from '../stage.ts'

const sessions = 1000

/** The default of DATABASE_POOL_SIZE, which the service uses here. */
const poolSize = 8

const maxMemoryMb = 150

type Contest = {
  readonly server: Server
  readonly bare: ReturnType<typeof prepareBare> extends Promise<infer Child> ? Child : never
  readonly refreshers: ReturnType<typeof refreshersOf>
}

/** Separate sessions of the same table: both sides find rows of the same kind in the same state. */
const prepareBare = async (stage: Stage, url: string) => {
  const bare = stage.child<BareStatementCalls>('bare-statement')
  await bare.call('open', { url, poolSize, sessions: range(sessions, sessions).map(bareSession) })
  return bare
}

const contestAt = async (stage: Stage, contest: Contest, atOnce: number): Promise<Findings> => {
  const { server, bare, refreshers } = contest
  const sides = await alternate(
    {
      ours: async (seconds) =>
        await measure(stage, [server], () => refreshers.run(server.address, atOnce, { seconds })),
      limit: async (seconds) =>
        await measure(stage, [], () => bare.call('run', { atOnce, extent: { seconds } })),
    },
    stage.seconds,
  )
  const ours = detailOf(`refresh, ${atOnce} at once`, sides.ours)
  return {
    rows: [
      comparison(
        {
          what: `refresh, ${atOnce} at once / bare statement`,
          unit: '/s',
          hold: { atLeast: 0.65 },
        },
        perSecond,
        sides,
      ),
      comparison(
        {
          what: `refresh p99, ${atOnce} at once / statement's p99`,
          unit: 'ms',
          hold: { atMost: 2 },
        },
        p99Ms,
        sides,
      ),
      figure(
        {
          what: `memory of the process, ${atOnce} at once`,
          unit: 'MB',
          hold: { atMost: maxMemoryMb },
        },
        ours.peakMb ?? Number.NaN,
      ),
    ],
    details: [ours, detailOf(`bare statement, ${atOnce} at once`, sides.limit)],
  }
}

/** `POST /refresh`, compared with its statement alone through a pool of the same size in a process that does nothing else. */
export const refresh: Scenario = {
  name: 'refresh',
  pinned: true,
  run: async (stage) => {
    const database = await stage.database('refresh')
    await addAccounts(database, sessions, 'never verified here')
    await addSessions(database, 2 * sessions, sessions)
    const contest: Contest = {
      server: await stage.server(database),
      bare: await prepareBare(stage, database.appUrl),
      refreshers: refreshersOf(range(0, sessions)),
    }
    const at16 = await contestAt(stage, contest, 16)
    const at64 = await contestAt(stage, contest, 64)
    await contest.server.end()
    await contest.bare.end()
    return { rows: [...at16.rows, ...at64.rows], details: [...at16.details, ...at64.details] }
  },
}
