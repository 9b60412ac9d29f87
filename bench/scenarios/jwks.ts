import type { BareRouteCalls } from '../children/bare-route.ts'
import { getLane, withConnections } from '../http-lanes.ts'
import { detailOf, measure } from '../measured.ts'
import { alternate } from '../rounds.ts'
import { comparison, p99Ms, perSecond } from '../row.ts'
import { runLanes, type Sample } from '../sample.ts'
import type { Scenario } from '../scenario.ts'

const atOnce = 16
const path = '/.well-known/jwks.json'

const load = async (address: string, target: string, seconds: number): Promise<Sample> =>
  await withConnections(address, atOnce, async (connections) =>
    runLanes(
      connections.map((connection) => getLane(connection, target)),
      { seconds },
    ),
  )

/** Headers that Node writes by itself. */
const notCopied = new Set(['connection', 'content-length', 'date', 'keep-alive'])

const answerOf = async (address: string) => {
  const answer = await fetch(`${address}${path}`)
  const copied = [...answer.headers].filter(([name]) => !notCopied.has(name))
  return { body: Buffer.from(await answer.arrayBuffer()), headers: Object.fromEntries(copied) }
}

/**
 * The key set, compared with a plain Fastify route that sends the same response with all headers, and with one that sends only the body,
 * which shows the cost of the headers that all of our responses have.
 */
export const jwks: Scenario = {
  name: 'jwks',
  pinned: true,
  run: async (stage) => {
    const server = await stage.server(await stage.database('jwks'))
    const bare = stage.child<BareRouteCalls>('bare-route')
    const bareAddress = await bare.call('start', await answerOf(server.address))
    const against = async (target: string) =>
      await alternate(
        {
          ours: async (seconds) =>
            await measure(stage, [server], () => load(server.address, path, seconds)),
          limit: async (seconds) => await load(bareAddress, target, seconds),
        },
        stage.seconds,
      )
    const all = await against('/with-headers')
    const body = await against('/')
    await server.end()
    await bare.end()
    return {
      rows: [
        comparison(
          { what: 'JWKS / bare Fastify route', unit: '/s', hold: { atLeast: 0.8 } },
          perSecond,
          all,
        ),
        comparison({ what: "JWKS p99 / bare route's p99", unit: 'ms' }, p99Ms, all),
        comparison(
          { what: 'JWKS / bare route without our headers', unit: '/s', hold: { atLeast: 0.8 } },
          perSecond,
          body,
        ),
      ],
      details: [
        detailOf(`JWKS, ${atOnce} at once`, all.ours),
        detailOf(`bare Fastify route, ${atOnce} at once`, all.limit),
        detailOf(`bare route without our headers, ${atOnce} at once`, body.limit),
      ],
    }
  },
}
