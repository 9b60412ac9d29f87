import type { Sql } from '../infra/postgres/database.ts'
import { idToBytes } from '../lib/id.ts'
import type { RevocationEntry } from '../revocation/index.ts'

/** An entry of the audit trail that this process has committed. */
export type CommittedAct = { readonly id: number; readonly atMs: number }

/** What is asked and repaired after Postgres may have lost commits. */
export type AfterLoss = {
  /** Whether all of these are in the trail. */
  readonly hasAll: (acts: readonly CommittedAct[]) => Promise<boolean>
  /** What the transactions that wrote these entries had changed besides: sessions end, epochs rise. */
  readonly repair: (entries: readonly RevocationEntry[], nowMs: number) => Promise<void>
  /** True for the first to record this loss. */
  readonly recordLoss: (feedId: string, nowMs: number) => Promise<boolean>
  /** Whether everything issued before the newest recorded loss has been revoked; also when there was none. */
  readonly isAnswered: () => Promise<boolean>
}

/** Numbers are given out anew after a loss, so that the time belongs to an act as well. */
const countActs = {
  name: 'loss_count_acts',
  text: `SELECT count(*)::integer AS count FROM unnest($1::bigint[], $2::timestamptz[]) AS own (id, at)
    JOIN audit_events e ON e.id = own.id AND e.at = own.at`,
}

const endSessions = {
  name: 'loss_end_sessions',
  text: `UPDATE sessions SET ended_at = $2, end_reason = 'revoked', data = NULL WHERE id = ANY($1::bytea[]) AND ended_at IS NULL`,
}

const lasting = 'FROM unnest($1::bytea[], $2::bigint[]) AS held (id, epoch)'

/** The entry of an account that was deleted by hand has an epoch that no account can have. */
const isPossible = 'held.epoch <= 2147483647'

const raiseEpochs = {
  name: 'loss_raise_epochs',
  text: `UPDATE accounts a SET epoch = held.epoch ${lasting} WHERE a.id = held.id AND a.epoch < held.epoch AND ${isPossible}`,
}

const raiseClientEpochs = {
  name: 'loss_raise_client_epochs',
  text: `UPDATE service_clients c SET epoch = held.epoch ${lasting} WHERE c.id = held.id AND c.epoch < held.epoch AND ${isPossible}`,
}

const raiseClaimsEpochs = {
  name: 'loss_raise_claims_epochs',
  text: `UPDATE accounts a SET claims_epoch = held.epoch ${lasting}
    WHERE a.id = held.id AND a.claims_epoch < held.epoch AND ${isPossible}`,
}

const raiseGlobalEpoch = {
  name: 'loss_raise_global_epoch',
  text: 'UPDATE instance SET global_epoch = $1 WHERE global_epoch < $1',
}

const record = {
  name: 'loss_record',
  text: `INSERT INTO data_losses (feed_id, detected_at, global_epoch) SELECT $1, $2, global_epoch FROM instance
    ON CONFLICT DO NOTHING RETURNING feed_id`,
}

const answered = {
  name: 'loss_answered',
  text: `SELECT NOT EXISTS (SELECT FROM instance i JOIN data_losses l ON l.global_epoch >= i.global_epoch) AS yes`,
}

export const postgresAfterLoss = (sql: Sql): AfterLoss => ({
  hasAll: async (acts) => {
    const [row] = await sql.query<{ count: number }>(countActs, [
      acts.map(({ id }) => id),
      acts.map(({ atMs }) => new Date(atMs).toISOString()),
    ])
    return row?.count === acts.length
  },
  repair: async (entries, nowMs) => {
    const of = (kind: RevocationEntry['kind']) => entries.filter((entry) => entry.kind === kind)
    const ids = (list: readonly RevocationEntry[]) => list.map(({ key }) => idToBytes(key))
    const epochs = (list: readonly RevocationEntry[]) => list.map(({ minEpoch }) => minEpoch)
    const [sessions, subjects, claims] = [of('sid'), of('sub'), of('claims')]
    await sql.query(endSessions, [ids(sessions), new Date(nowMs)])
    for (const statement of [raiseEpochs, raiseClientEpochs]) {
      await sql.query(statement, [ids(subjects), epochs(subjects)])
    }
    await sql.query(raiseClaimsEpochs, [ids(claims), epochs(claims)])
    for (const { minEpoch } of of('everyone')) await sql.query(raiseGlobalEpoch, [minEpoch])
  },
  recordLoss: async (feedId, nowMs) =>
    (await sql.query(record, [feedId, new Date(nowMs)])).length > 0,
  isAnswered: async () => (await sql.query<{ yes: boolean }>(answered))[0]?.yes ?? true,
})
