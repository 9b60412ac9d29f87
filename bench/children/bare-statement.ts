import pg from 'pg'
import { rotateStatement } from '../../src/refresh/rotation-store.ts'
import { answerCalls } from '../calls.ts'
import { type Extent, type Lane, runLanes, type Sample } from '../sample.ts'

/** A session as the statement needs it, without code that makes or checks a handle. */
export type BareSession = { readonly id: Buffer; readonly digest: Buffer; generation: number }

const idleMs = 14 * 24 * 3600 * 1000

let pool: pg.Pool | undefined
let sessions: BareSession[] = []

const laneOver = (own: readonly BareSession[]): Lane => {
  let turn = 0
  return async () => {
    const session = own[turn % own.length]
    turn += 1
    if (!pool || !session) throw new Error('not open')
    const now = Date.now()
    const result = await pool.query({
      ...rotateStatement,
      values: [
        session.id,
        session.digest,
        session.generation,
        'cookie',
        new Date(now),
        new Date(now + idleMs),
        // Neither an audience nor scopes are requested.
        null,
        null,
      ],
    })
    if (result.rowCount !== 1) throw new Error('the statement changed no row')
    session.generation += 1
  }
}

/** The limit of a refresh: only its statement through `pg`, named, in a process that does nothing else. */
const calls = {
  open: (input: { url: string; poolSize: number; sessions: BareSession[] }): void => {
    pool = new pg.Pool({ connectionString: input.url, max: input.poolSize })
    sessions = input.sessions
  },
  run: async (input: { atOnce: number; extent: Extent }): Promise<Sample> => {
    const lanes = Array.from({ length: input.atOnce }, (_, lane) =>
      laneOver(sessions.filter((_session, place) => place % input.atOnce === lane)),
    )
    return await runLanes(lanes, input.extent)
  },
}

export type BareStatementCalls = typeof calls

answerCalls(calls, async () => await pool?.end())
