import { Redis } from 'ioredis'
import { startRedis } from '../../test/support/redis-server.ts'
import type { PeerSessionCalls } from '../children/peer-session.ts'
import type { BenchDatabase } from '../database.ts'
import { cookiesFromLogin, lookUps } from '../looking-up.ts'
import { detailOf, type Measured, measure } from '../measured.ts'
import { addAccounts, emailOf, hashOfPassword, password } from '../people.ts'
import { range } from '../refreshing.ts'
import { alternate, type Side } from '../rounds.ts'
import { comparison, type Findings, figure, p99Ms, perSecond } from '../row.ts'
import type { Sample } from '../sample.ts'
import type { Scenario } from '../scenario.ts'
import type { Stage } from '../stage.ts'

const atOnce = 16
const sessions = 100

type Sides = { readonly ours: Sample[]; readonly limit: Sample[] }

const rowsOf = (what: string, sides: Sides) => [
  comparison(
    { what: `${what} / @fastify/session`, unit: '/s', hold: { atLeast: 1 } },
    perSecond,
    sides,
  ),
  comparison({ what: `${what} p99 / @fastify/session's p99`, unit: 'ms' }, p99Ms, sides),
]

/** Commands that Redis has run, transactions that Postgres has: the latter counted by its backends at least once a second. */
const storesAskedUntilNow = async (redis: Redis, database: BenchDatabase) => {
  const stats = await redis.info('stats')
  const commands = Number(/total_commands_processed:(\d+)/.exec(stats)?.[1])
  const [row] = await database.ask<{ count: string }>(
    'SELECT xact_commit AS count FROM pg_stat_database WHERE datname = current_database()',
  )
  return { commands, transactions: Number(row?.count) }
}

const prepare = async (stage: Stage, redisUrl: string) => {
  const database = await stage.database('session')
  await addAccounts(database, sessions, await hashOfPassword())
  const server = await stage.server(database, { REDIS_URL: redisUrl })
  const bodies = range(0, sessions).map((account) =>
    JSON.stringify({ email: emailOf(account), password, session: 'cookie' }),
  )
  const cookies = await cookiesFromLogin(server.address, '__Host-cardea-session', bodies)
  const peer = async (slides: boolean) => {
    const { call, end } = stage.child<PeerSessionCalls>('peer-session')
    const address = await call('start', { redisUrl, slides })
    const nobody = Array<string>(sessions).fill('{}')
    const peerCookies = await cookiesFromLogin(address, 'sessionId', nobody)
    const side: Side = async (seconds) =>
      await lookUps('/session', peerCookies)(address, atOnce, { seconds })
    return { side, end }
  }
  const ours =
    (path: string) =>
    async (seconds: number): Promise<Measured> =>
      await measure(stage, [server], () =>
        lookUps(path, cookies)(server.address, atOnce, { seconds }),
      )
  return { database, server, ours, sliding: await peer(true), fixed: await peer(false) }
}

const contest = async (stage: Stage, redisUrl: string, redis: Redis): Promise<Findings> => {
  const { database, server, ours, sliding, fixed } = await prepare(stage, redisUrl)
  const { seconds } = stage
  const session = await alternate({ ours: ours('/session'), limit: sliding.side }, seconds)
  const forwardAuth = await alternate({ ours: ours('/forward-auth'), limit: sliding.side }, seconds)
  const leanest = await alternate({ ours: ours('/session'), limit: fixed.side }, seconds)
  const before = await storesAskedUntilNow(redis, database)
  const counted = await ours('/session')(seconds)
  const after = await storesAskedUntilNow(redis, database)
  for (const { end } of [server, sliding, fixed]) await end()
  const share = (asked: number): number => (100 * asked) / counted.count
  return {
    rows: [
      ...rowsOf('GET /session', session),
      ...rowsOf('GET /forward-auth', forwardAuth),
      comparison(
        { what: 'GET /session / the same without sliding expiry', unit: '/s' },
        perSecond,
        leanest,
      ),
      figure(
        { what: 'look-ups that reached Redis', unit: '%' },
        share(after.commands - before.commands),
      ),
      figure(
        { what: 'look-ups that reached Postgres', unit: '%' },
        share(after.transactions - before.transactions),
      ),
    ],
    details: [
      detailOf(`GET /session, ${atOnce} at once`, session.ours),
      detailOf(`GET /forward-auth, ${atOnce} at once`, forwardAuth.ours),
      detailOf(`@fastify/session, ${atOnce} at once`, session.limit),
      detailOf('the same without sliding expiry', leanest.limit),
    ],
  }
}

/** A session cookie looked up, by the application and by a proxy, against the session plugin that Fastify applications use, on the same Redis. */
export const session: Scenario = {
  name: 'session',
  pinned: true,
  run: async (stage) => {
    const server = await startRedis()
    const redis = new Redis(server.url)
    try {
      return await contest(stage, server.url, redis)
    } finally {
      redis.disconnect()
      await server.stop()
    }
  },
}
