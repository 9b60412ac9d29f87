import { setTimeout as sleep } from 'node:timers/promises'
import { newId, systemRandom } from '../../src/lib/machine.ts'
import { withConnections } from '../http-lanes.ts'
import { detailOf, type Measured, measure } from '../measured.ts'
import { addAccountsWithOperator, operatorToken, revokeToken } from '../operator.ts'
import { addSessions } from '../people.ts'
import { range } from '../refreshing.ts'
import { type Replicas, sharedNowMs, startReplicas } from '../replicas.ts'
import { figure } from '../row.ts'
import { median, medianSample, runLanes } from '../sample.ts'
import type { Scenario } from '../scenario.ts'
import type { Server, Stage } from '../stage.ts'
import { accessTokens, idsOf } from '../tokens.ts'

const atMostPerSecond = 1000
const rounds = 3
/** Enough for the whole rate while a response takes 30 ms. */
const atOnce = 32
const size = { replicas: 10, processes: 5 }

/** The last tenth of a round: watching then has started when the load ends, and has hardly added to it. */
const watchFrom = 0.9

type Round = { readonly sample: Measured; readonly lastMs: number }

/** Revokes ids that no token has, then at once the token. The time until all replicas refuse it shows how far they are behind. */
const runRound = async (
  stage: Stage,
  { server, replicas, operator }: { server: Server; replicas: Replicas; operator: string },
  token: string,
): Promise<Round> =>
  await withConnections(server.address, atOnce, async (connections) => {
    const lanes = connections.map((connection) => async () => {
      await revokeToken(connection, operator, newId(systemRandom))
    })
    const extent = { seconds: stage.seconds, perSecond: atMostPerSecond }
    const load = measure(stage, [server], () => runLanes(lanes, extent))
    const watching = sleep(stage.seconds * watchFrom * 1000).then(() => replicas.watch(token))
    const [sample] = await Promise.all([load, watching])
    const [connection] = connections
    if (connection) await revokeToken(connection, operator, idsOf(token).jti)
    return { sample, lastMs: await replicas.lastAcceptedAfterMs(sharedNowMs()) }
  })

/** A thousand revocations a second, or as many as the service commits, while ten replicas follow. */
export const feed: Scenario = {
  name: 'feed',
  run: async (stage) => {
    const database = await stage.database('feed')
    await addAccountsWithOperator(database, rounds + 1)
    await addSessions(database, rounds + 1, rounds + 1)
    const server = await stage.server(database)
    // Session 0 is the operator's.
    const tokens = await accessTokens(server.address, range(1, rounds))
    const replicas = await startReplicas(stage, server, size)
    const operator = await operatorToken(server.address)
    const done: Round[] = []
    for (const token of tokens) {
      done.push(await runRound(stage, { server, replicas, operator }, token))
    }
    await replicas.end()
    await server.end()
    const samples = done.map(({ sample }) => sample)
    const following = `${size.replicas} replicas following`
    return {
      rows: [
        figure(
          { what: `revocations, at most 1,000/s asked for, ${following}`, unit: '/s' },
          medianSample(samples).perSecond,
        ),
        figure(
          { what: 'after them, 2xx of one more to its last acceptance', unit: 'ms' },
          median(done.map(({ lastMs }) => lastMs)),
        ),
      ],
      details: [detailOf(`revoke, paced at 1,000/s, ${following}`, samples)],
    }
  },
}
