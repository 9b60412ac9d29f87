import { setTimeout as sleep } from 'node:timers/promises'
import { withConnections } from '../http-lanes.ts'
import { addAccountsWithOperator, operatorToken, revokeToken } from '../operator.ts'
import { addSessions } from '../people.ts'
import { range } from '../refreshing.ts'
import { type Replicas, sharedNowMs, startReplicas } from '../replicas.ts'
import { figure, type Hold, type Row } from '../row.ts'
import { sampleOf } from '../sample.ts'
import type { Scenario } from '../scenario.ts'
import type { Server } from '../stage.ts'
import { accessTokens, idsOf } from '../tokens.ts'

const sizes = [
  { replicas: 1, processes: 1, revocations: 100 },
  { replicas: 10, processes: 10, revocations: 1_000 },
  { replicas: 50, processes: 5, revocations: 50 },
] as const

/** The number of replicas for the project's target. */
const heldAt = 10
const longestAllowedMs = 50

/** The maximum. Pauses are random, so that revocations do not fall into step with the replicas' requests. */
const longestPauseMs = 40

/** For each token, how long after the response to its revocation the last of all replicas accepted it, milliseconds. */
const revokeEach = async (
  server: Server,
  replicas: Replicas,
  tokens: readonly string[],
): Promise<number[]> => {
  const operator = await operatorToken(server.address)
  return await withConnections(server.address, 1, async ([connection]) => {
    const timesMs: number[] = []
    for (const token of connection ? tokens : []) {
      await replicas.watch(token)
      await sleep(Math.random() * longestPauseMs)
      if (connection) await revokeToken(connection, operator, idsOf(token).jti)
      timesMs.push(await replicas.lastAcceptedAfterMs(sharedNowMs()))
    }
    return timesMs
  })
}

const rowsOf = (replicas: number, timesMs: readonly number[]): Row[] => {
  const over = replicas === 1 ? '1 replica' : `${replicas} replicas`
  const what = (which: string) => `revoke's 2xx to last acceptance, ${over}, ${which}`
  const { p50Ms, p99Ms } = sampleOf(timesMs, 1, 0)
  const hold: Hold | undefined = replicas === heldAt ? { atMost: longestAllowedMs } : undefined
  return [
    figure({ what: what('p50'), unit: 'ms' }, p50Ms),
    figure({ what: what('p99'), unit: 'ms', hold }, p99Ms),
    figure({ what: what('longest'), unit: 'ms' }, Math.max(...timesMs)),
  ]
}

/** How long verifiers in other processes still accept a revoked token, when each checks it every millisecond. */
export const spread: Scenario = {
  name: 'spread',
  run: async (stage) => {
    const database = await stage.database('spread')
    const count = sizes.reduce((sum, { revocations }) => sum + revocations, 0)
    await addAccountsWithOperator(database, count + 1)
    await addSessions(database, count + 1, count + 1)
    const server = await stage.server(database)
    // Session 0 is the operator's.
    const tokens = await accessTokens(server.address, range(1, count))
    const rows: Row[] = []
    for (const size of sizes) {
      const replicas = await startReplicas(stage, server, size)
      const timesMs = await revokeEach(server, replicas, tokens.splice(0, size.revocations))
      await replicas.end()
      rows.push(...rowsOf(size.replicas, timesMs))
    }
    await server.end()
    return { rows, details: [] }
  },
}
