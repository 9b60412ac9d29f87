import type { Loaded, LoadingSnapshotCalls } from '../children/loading-snapshot.ts'
import type { BenchDatabase } from '../database.ts'
import { figure } from '../row.ts'
import { median } from '../sample.ts'
import type { Scenario } from '../scenario.ts'

const entries = 1_000_000
const rounds = 3

/** Half tokens, half sessions, in one transaction. Written directly into the table, because a million requests would take minutes. */
const addRevocations = async (database: BenchDatabase): Promise<void> => {
  await database.ask(
    `INSERT INTO revocations (kind, key, not_after, actor, reason, created_at)
     SELECT CASE n % 2 WHEN 0 THEN 'jti' ELSE 'sid' END,
       translate(encode(decode(md5('revocation ' || n), 'hex'), 'base64'), '+/=', '-_'),
       now() + interval '1 hour', 'bench', 'bench', now()
     FROM generate_series(1, $1::integer) n`,
    [entries],
  )
  await database.ask('VACUUM (ANALYZE) revocations')
}

/** A million revocations: loaded into a replica from bytes in memory, and into a verifier from a service over HTTP. */
export const snapshot: Scenario = {
  name: 'snapshot',
  run: async (stage) => {
    const child = stage.child<LoadingSnapshotCalls>('loading-snapshot')
    const bytes = await child.call('prepare', entries)
    const loaded: Loaded[] = []
    for (let round = 0; round < rounds; round += 1) loaded.push(await child.call('load', null))
    const database = await stage.database('snapshot')
    await addRevocations(database)
    const server = await stage.server(database)
    const client = await server.call('createClient', 'snapshot')
    const overHttpSeconds = await child.call('follow', { address: server.address, client })
    await server.end()
    await child.end()
    const of = (pick: (one: Loaded) => number) => median(loaded.map(pick))
    return {
      rows: [
        figure(
          { what: 'replica loads 1,000,000 revocations', unit: 's', hold: { atMost: 2 } },
          of(({ seconds }) => seconds),
        ),
        figure({ what: 'memory of their set', unit: 'MB', hold: { atMost: 45 } }, bytes / 1e6),
        figure(
          {
            what: 'one question to it, every second one a hit',
            unit: 'ns',
            hold: { atMost: 1000 },
          },
          of(({ coversNs }) => coversNs),
        ),
        figure({ what: 'verifier to ready with them, over HTTP', unit: 's' }, overHttpSeconds),
      ],
      details: [],
    }
  },
}
