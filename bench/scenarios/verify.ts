import { startRedis } from '../../test/support/servers/redis-server.ts'
import type { VerifyingCalls, WayToVerify } from '../children/verifying.ts'
import { detailOf, measure } from '../measured.ts'
import { addAccounts, addSessions } from '../people.ts'
import { range } from '../refreshing.ts'
import { inTurns, type Side } from '../rounds.ts'
import { comparison, figure, type Hold, perSecond, type Row } from '../row.ts'
import { medianSample, type Sample } from '../sample.ts'
import type { Scenario } from '../scenario.ts'
import type { Stage } from '../stage.ts'
import { accessTokens } from '../tokens.ts'

/** Four times the size of the small cache. */
const tokenCount = 2000

const seen = 'token seen before'
const first = 'token seen for the first time'

type Samples = Readonly<Record<WayToVerify, readonly Sample[]>>

const rowsOf = (samples: Samples): Row[] => {
  const against = (ours: WayToVerify, limit: WayToVerify, hold?: Hold): Row =>
    comparison({ what: `${ours} / ${limit}`, unit: '/s', hold }, perSecond, {
      ours: samples[ours],
      limit: samples[limit],
    })
  return [
    against(seen, 'jose.jwtVerify', { atLeast: 40 }),
    figure(
      { what: `verifying a ${seen}`, unit: 'µs', hold: { atMost: 10 } },
      1e6 / medianSample(samples[seen]).perSecond,
    ),
    // At most 1.2 times slower.
    against(first, 'jose.jwtVerify', { atLeast: 1 / 1.2 }),
    against(first, 'jsonwebtoken'),
    against(first, 'fast-jwt'),
    against(seen, 'fast-jwt with its cache'),
    against(seen, 'jose and Redis EXISTS'),
    against(seen, 'introspection'),
  ]
}

const prepare = async (stage: Stage, redisUrl: string) => {
  const database = await stage.database('verify')
  await addAccounts(database, tokenCount, 'never verified here')
  await addSessions(database, tokenCount, tokenCount)
  const server = await stage.server(database)
  const tokens = await accessTokens(server.address, range(0, tokenCount))
  const client = await server.call('createClient', 'verify')
  const child = stage.child<VerifyingCalls>('verifying')
  await child.call('open', { address: server.address, client, redisUrl, tokens })
  return { server, child }
}

const contest = async (stage: Stage, redisUrl: string): Promise<Samples> => {
  const { server, child } = await prepare(stage, redisUrl)
  const by =
    (how: WayToVerify): Side =>
    async (seconds) =>
      await child.call('run', { how, seconds })
  const introspect: Side = async (seconds) =>
    await measure(stage, [server], async () => await by('introspection')(seconds))
  // No part of it waits for a disk, so short rounds are steady enough.
  const samples = await inTurns<WayToVerify>(
    {
      [seen]: by(seen),
      'jose.jwtVerify': by('jose.jwtVerify'),
      [first]: by(first),
      jsonwebtoken: by('jsonwebtoken'),
      'fast-jwt': by('fast-jwt'),
      'fast-jwt with its cache': by('fast-jwt with its cache'),
      'jose and Redis EXISTS': by('jose and Redis EXISTS'),
      introspection: introspect,
    },
    stage.seconds / 4,
  )
  await child.end()
  await server.end()
  return samples
}

/** A token of the service, verified by `@cardea/verifier`, by libraries without revocation, and by asking a server each time. */
export const verify: Scenario = {
  name: 'verify',
  run: async (stage) => {
    const redis = await startRedis()
    const samples = await contest(stage, redis.url).finally(redis.stop)
    const ways = Object.entries(samples)
    return {
      rows: rowsOf(samples),
      details: ways.map(([way, rounds]) => detailOf(way, rounds)),
    }
  },
}
