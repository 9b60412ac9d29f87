import type { AccountStores } from './accounts/index.ts'
import type { Sql } from './infra/postgres/database.ts'
import type { SigningKeys, SigningKeyTransaction } from './keys/index.ts'
import { hasCode } from './lib/app-error.ts'
import type { InTransaction } from './lib/in-transaction.ts'
import { type Clock, idToBytes } from './lib/machine.ts'
import type { RevocationEntry, Revocations } from './revocation/index.ts'

/** An entry of the audit trail that this process has committed. */
export type CommittedAct = { readonly id: number; readonly atMs: number }

/** What is asked and repaired after Postgres may have lost commits. */
export type AfterLoss = {
  /** Whether all of these are in the trail. */
  readonly hasAll: (acts: readonly CommittedAct[]) => Promise<boolean>
  /** What the transactions that wrote these entries had changed besides: sessions end, epochs rise. Entries of keys change nothing here. */
  readonly repair: (entries: readonly RevocationEntry[], nowMs: number) => Promise<void>
  /** True for the first to record this loss. */
  readonly recordLoss: (feedId: string, nowMs: number) => Promise<boolean>
  /** Whether everything issued before the newest recorded loss has been revoked; also when there was none. */
  readonly isAnswered: () => Promise<boolean>
}

/**
 * Numbers are given out anew after a loss, so that the time belongs to an act as well. What is older than the trail was removed by its owner,
 * and is not lost: a loss takes the newest.
 */
const countLost = {
  name: 'loss_count_acts',
  text: `SELECT count(*)::integer AS count FROM unnest($1::bigint[], $2::timestamptz[]) AS own (id, at)
    WHERE NOT EXISTS (SELECT FROM audit_events e WHERE e.id = own.id AND e.at = own.at)
      AND own.at >= coalesce((SELECT min(at) FROM audit_events), '-infinity')`,
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

const recordStatement = {
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
    const [row] = await sql.query<{ count: number }>(countLost, [
      acts.map(({ id }) => id),
      acts.map(({ atMs }) => new Date(atMs).toISOString()),
    ])
    return row?.count === 0
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
    (await sql.query(recordStatement, [feedId, new Date(nowMs)])).length > 0,
  isAnswered: async () => (await sql.query<{ yes: boolean }>(answered))[0]?.yes ?? true,
})

/** What is read and written together once a loss is found. */
export type DataLossStores = AccountStores & {
  readonly signingKeys: SigningKeyTransaction
  readonly afterLoss: AfterLoss
}

export type DataLossDeps = {
  readonly clock: Clock
  readonly revocations: Pick<Revocations, 'feedId' | 'findMissing'>
  readonly afterLoss: AfterLoss
  readonly inTransaction: InTransaction<DataLossStores>
  readonly keys: Pick<SigningKeys, 'withdraw' | 'reread'>
  /** The newest acts that this process has committed, a few. */
  readonly ownActs: () => readonly CommittedAct[]
  readonly revokesEveryone: boolean
  readonly report: (error: unknown, what: string) => void
}

/** Watches for commits that Postgres had confirmed and does not have any more: a fail-over to a standby that was behind. */
export type DataLoss = {
  /** One step. Asks Postgres something only when the log is another one, while a loss is unanswered, and in every tenth step. */
  readonly check: () => Promise<void>
  /** Whether commits were lost, and not everything that was issued before has been revoked since. */
  readonly isUnanswered: () => boolean
}

const mostActs = 32

/** The newest acts of this process, for `ownActs`: what a standby that is behind lacks first. */
export const newestActs = () => {
  let acts: readonly CommittedAct[] = []
  return {
    add: (more: readonly CommittedAct[]): void => {
      if (more.length > 0) acts = [...acts, ...more].slice(-mostActs)
    },
    list: (): readonly CommittedAct[] => acts,
  }
}

const actor = { kind: 'system' } as const

/**
 * So many entries in one transaction, so that each is short: its locks keep others waiting, and a statement has a timeout.
 */
const batchEntries = 1_000

/**
 * The row of a revoked key went back to what it was with the entry, so the key would be published and sign again. Whoever knows of the
 * revocation would not sign with it, nor with any other key.
 */
const restoreKey = async (
  { inTransaction, keys }: DataLossDeps,
  entry: RevocationEntry,
): Promise<void> => {
  const kid = entry.key
  const withdraw = await keys.withdraw(kid)
  await inTransaction(async ({ audit, revocations, signingKeys }) => {
    if ((await revocations.appendMissing([entry])).length === 0) return
    const withdrawn = await withdraw(signingKeys).catch((error: unknown) => {
      // The key itself was lost: the entry is for verifiers, which may still have a copy of it.
      if (hasCode(error, 'signing_key_not_found')) return undefined
      throw error
    })
    if (!withdrawn) return
    const { was, active } = withdrawn
    const details = { kid, was, ...(active && { active }) }
    const event = 'signing_key_revoked'
    await audit.record({ event, outcome: 'success', reason: 'revoked', actor, details })
  })
  await keys.reread()
}

/**
 * What is dead does not come back: the entries that this log lacks, and what else their transactions had changed. Keys come last, each in
 * a transaction of its own: one that cannot be withdrawn, because no key could take its place, is tried again and delays nothing else.
 */
const restore = async (deps: DataLossDeps, missing: readonly RevocationEntry[]): Promise<void> => {
  const { clock, inTransaction } = deps
  const others = missing.filter(({ kind }) => kind !== 'kid')
  for (let at = 0; at < others.length; at += batchEntries) {
    await inTransaction(async ({ revocations, afterLoss }) => {
      const added = await revocations.appendMissing(others.slice(at, at + batchEntries))
      await afterLoss.repair(added, clock.nowMs())
    })
  }
  for (const entry of missing.filter(({ kind }) => kind === 'kid')) await restoreKey(deps, entry)
}

/** The first of all processes to say so records the loss, and answers it if that is wanted. */
const record = (
  { clock, inTransaction, revokesEveryone }: DataLossDeps,
  feedId: string,
  missing: number,
): Promise<void> =>
  inTransaction(async ({ accounts, afterLoss, audit, revocations }) => {
    const nowMs = clock.nowMs()
    if (!(await afterLoss.recordLoss(feedId, nowMs))) return
    const details = {
      feed_id: feedId,
      revocations_restored: missing,
      everyone_revoked: revokesEveryone,
    }
    await audit.record({ event: 'data_lost', outcome: 'failure', actor, details })
    if (!revokesEveryone) return
    const minEpoch = await accounts.raiseGlobalEpoch(nowMs)
    const reason = 'revoked'
    await audit.record({ event: 'everyone_revoked', outcome: 'success', reason, actor })
    await revocations.append({
      target: { kind: 'everyone', key: '', minEpoch },
      actor: actor.kind,
      reason,
    })
  })

/** What the log says of a loss: the error, and what happened and what to do. */
const lossReport = (feedId: string, restored: number, everyoneRevoked: boolean) => {
  const what = `${restored} revocations were appended again; logins and other acts may be missing.`
  const answer = everyoneRevoked
    ? 'REVOKE_ON_DATA_LOSS has ended everything issued before.'
    : '`cardea revoke --everyone` ends everything issued before.'
  return [
    new Error('the log lacks what this process had committed or knew to be revoked'),
    `Postgres has lost commits (log ${feedId}): ${what} ${answer}`,
  ] as const
}

export const watchForDataLoss = (deps: DataLossDeps): DataLoss => {
  const { revocations, afterLoss, ownActs, keys, report } = deps
  /** The log that was last found to have all that this process knows. */
  let knownFeedId: string | undefined
  let isUnanswered = false
  let steps = 0

  const look = async (feedId: string): Promise<void> => {
    // A key that this log lacks is published by no other process, so nobody would accept what it signs.
    await keys.reread()
    const acts = ownActs()
    const missing = await revocations.findMissing()
    const isLost = missing.length > 0 || !(await afterLoss.hasAll(acts))
    if (!isLost) return
    await restore(deps, missing)
    await record(deps, feedId, missing.length)
    report(...lossReport(feedId, missing.length, deps.revokesEveryone))
  }

  return {
    check: async () => {
      steps += 1
      const feedId = revocations.feedId()
      const isOther = feedId !== knownFeedId
      if (feedId !== undefined && isOther) {
        if (knownFeedId !== undefined) await look(feedId)
        knownFeedId = feedId
      }
      // Another process may have found what this one had no means to notice.
      if (isOther || isUnanswered || steps % 10 === 0) {
        isUnanswered = !(await afterLoss.isAnswered())
      }
    },
    isUnanswered: () => isUnanswered,
  }
}
