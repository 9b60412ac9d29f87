import { Redis } from 'ioredis'
import { startRedis } from '../../test/support/servers/redis-server.ts'
import type { PeerSessionCalls } from '../children/peer-session.ts'
import type { BenchDatabase } from '../database.ts'
import { cookiesFromLogin, lookUps } from '../looking-up.ts'
import { detailOf, type Measured, measure } from '../measured.ts'
import { addAccounts, addSessions, firstCookie } from '../people.ts'
import { range } from '../refreshing.ts'
import { alternate, type Side } from '../rounds.ts'
import { comparison, type Findings, figure, type Hold, p99Ms, perSecond } from '../row.ts'
import type { Sample } from '../sample.ts'
import type { Scenario } from '../scenario.ts'
import type { Stage } from '../stage.ts'

const atOnce = 16
const few = 100
/** A process caches all of them, too (docs/decisions/0024-what-was-verified-is-remembered.md). */
const many = 6_000
/** In turn: more than are cached, both handles and sessions, so that none is when it comes again. */
const tooMany = 15_000

type Sides = { readonly ours: Sample[]; readonly limit: Sample[] }

const promised: Hold = { atLeast: 1 }

const rowsOf = (what: string, sides: Sides, hold?: Hold) => [
  comparison({ what: `${what} / @fastify/session`, unit: '/s', hold }, perSecond, sides),
  comparison({ what: `${what} p99 / @fastify/session's p99`, unit: 'ms' }, p99Ms, sides),
]

/** Commands that Redis has run, and transactions of Postgres, whose backends report them at least once a second. */
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
  await addAccounts(database, tooMany, 'never verified here')
  await addSessions(database, tooMany, tooMany, 'cookie')
  const server = await stage.server(database, { REDIS_URL: redisUrl })
  const cookies = range(0, tooMany).map(
    (session) => `__Host-cardea-session=${firstCookie(session)}`,
  )
  const peer = async (slides: boolean) => {
    const { call, end } = stage.child<PeerSessionCalls>('peer-session')
    const address = await call('start', { redisUrl, slides })
    const nobody = Array<string>(tooMany).fill('{}')
    const peerCookies = await cookiesFromLogin(address, 'sessionId', nobody)
    const side =
      (sessions: number): Side =>
      async (seconds) =>
        await lookUps('/session', peerCookies.slice(0, sessions))(address, atOnce, { seconds })
    return { side, end }
  }
  const ours =
    (path: string, sessions = few) =>
    async (seconds: number): Promise<Measured> =>
      await measure(stage, [server], () =>
        lookUps(path, cookies.slice(0, sessions))(server.address, atOnce, { seconds }),
      )
  return { database, server, cookies, ours, sliding: await peer(true), fixed: await peer(false) }
}

const contest = async (stage: Stage, redisUrl: string, redis: Redis): Promise<Findings> => {
  const { database, server, cookies, ours, sliding, fixed } = await prepare(stage, redisUrl)
  const { seconds } = stage
  const against = (limit: Side, path: string, sessions = few) =>
    alternate({ ours: ours(path, sessions), limit }, seconds)
  const session = await against(sliding.side(few), '/session')
  const forwardAuth = await against(sliding.side(few), '/forward-auth')
  // Each once before: a first lookup reads Postgres and writes the cache.
  const warm = (sessions: number) =>
    lookUps('/session', cookies.slice(0, sessions))(server.address, atOnce, { count: sessions })
  await warm(many)
  const remembered = await against(sliding.side(many), '/session', many)
  await warm(tooMany)
  const notRemembered = await against(sliding.side(tooMany), '/session', tooMany)
  const leanest = await against(fixed.side(few), '/session')
  const before = await storesAskedUntilNow(redis, database)
  const counted = await ours('/session')(seconds)
  const after = await storesAskedUntilNow(redis, database)
  for (const { end } of [server, sliding, fixed]) await end()
  const share = (asked: number): number => (100 * asked) / counted.count
  return {
    rows: [
      ...rowsOf('GET /session', session, promised),
      ...rowsOf('GET /forward-auth', forwardAuth, promised),
      ...rowsOf('GET /session, 6,000 sessions', remembered, promised),
      ...rowsOf('GET /session, 15,000 sessions', notRemembered),
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
      detailOf(`GET /session, 6,000 sessions, ${atOnce} at once`, remembered.ours),
      detailOf(`@fastify/session, 6,000 sessions, ${atOnce} at once`, remembered.limit),
      detailOf(`GET /session, 15,000 sessions, ${atOnce} at once`, notRemembered.ours),
      detailOf(`@fastify/session, 15,000 sessions, ${atOnce} at once`, notRemembered.limit),
      detailOf('the same without sliding expiry', leanest.limit),
    ],
  }
}

/**
 * The lookup of a session cookie, by the application and by a proxy, compared with the usual session plugin of Fastify applications on the
 * same Redis.
 */
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
