import type { AccountStores } from './accounts/index.ts'
import type { Sql } from './infra/postgres/database.ts'
import type { SigningKeys, SigningKeyTransaction } from './keys/index.ts'
import { hasCode } from './lib/app-error.ts'
import type { InTransaction } from './lib/in-transaction.ts'
import { type Clock, idToBytes } from './lib/machine.ts'
import type { RevocationEntry, Revocations } from './revocation/index.ts'

/** An entry of the audit trail that this process has committed. */
export type CommittedAct = { readonly id: number; readonly atMs: number }

/** The queries and repairs after Postgres may have lost commits. */
export type AfterLoss = {
  /** Whether all of these are in the audit trail. */
  readonly hasAll: (acts: readonly CommittedAct[]) => Promise<boolean>
  /**
   * Repeats the other changes of the transactions that wrote these entries: ends sessions, raises epochs. Entries of keys change nothing
   * here.
   */
  readonly repair: (entries: readonly RevocationEntry[], nowMs: number) => Promise<void>
  /** True for the first process that records this loss. */
  readonly recordLoss: (feedId: string, nowMs: number) => Promise<boolean>
  /** Whether everything issued before the newest recorded loss has been revoked. Also true without a loss. */
  readonly isAnswered: () => Promise<boolean>
}

/**
 * Numbers are reused after a loss, so an entry is identified by its number and time. Entries older than the trail were deleted by its owner
 * and are not lost: a loss affects the newest.
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

/** The entry of a manually deleted account has an epoch that no account can have. */
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

/** The stores that are used in one transaction after a loss was found. */
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
  /** A few of the newest entries that this process has committed. */
  readonly ownActs: () => readonly CommittedAct[]
  readonly revokesEveryone: boolean
  readonly report: (error: unknown, what: string) => void
}

/** Detects commits that Postgres had confirmed and no longer has, after a fail-over to a standby that was behind. */
export type DataLoss = {
  /** One step. Queries Postgres only when the log is another one, while a loss is open, and in every tenth step. */
  readonly check: () => Promise<void>
  /** Whether commits were lost and not everything issued before has been revoked since. */
  readonly isUnanswered: () => boolean
}

const maxActs = 32

/** Keeps the newest entries of this process for `ownActs`. A standby that is behind lacks these first. */
export const newestActs = () => {
  let acts: readonly CommittedAct[] = []
  return {
    add: (more: readonly CommittedAct[]): void => {
      if (more.length > 0) acts = [...acts, ...more].slice(-maxActs)
    },
    list: (): readonly CommittedAct[] => acts,
  }
}

const actor = { kind: 'system' } as const

/** The number of entries in one transaction. It must be short: its locks block others, and statements have a timeout. */
const batchEntries = 1_000

/**
 * The row of a revoked key was lost together with its entry, so the key would be published and sign again. A process that knows of the
 * revocation would sign neither with it nor with any other key.
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
      // The key itself was lost. The entry is kept for verifiers that may still cache the key.
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
 * Restores revocations: appends the entries that this log lacks and repeats the other changes of their transactions. Keys come last, each
 * in its own transaction. A key that cannot be withdrawn, because no other key could replace it, is retried and delays nothing else.
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

/** The first process that calls this records the loss, and revokes everything if the setting says so. */
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

/** The log line about a loss: the error, what happened and what to do. */
const lossReport = (feedId: string, restored: number, everyoneRevoked: boolean) => {
  const what = `${restored} revocations were appended again; logins and other acts may be missing.`
  const next = everyoneRevoked
    ? 'REVOKE_ON_DATA_LOSS has ended everything issued before.'
    : '`cardea revoke --everyone` ends everything issued before.'
  return [
    new Error('the log lacks what this process had committed or knew to be revoked'),
    `Postgres has lost commits (log ${feedId}): ${what} ${next}`,
  ] as const
}

export const watchForDataLoss = (deps: DataLossDeps): DataLoss => {
  const { revocations, afterLoss, ownActs, keys, report } = deps
  /** The log that was last found to contain everything that this process knows. */
  let knownFeedId: string | undefined
  let isUnanswered = false
  let steps = 0

  const look = async (feedId: string): Promise<void> => {
    // No other process publishes a key that this log lacks, so no verifier would accept its signatures.
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
      // Another process may have found a loss that this one could not notice.
      if (isOther || isUnanswered || steps % 10 === 0) {
        isUnanswered = !(await afterLoss.isAnswered())
      }
    },
    isUnanswered: () => isUnanswered,
  }
}
