import type { Clock } from '../lib/clock.ts'
import type { RevocationEntry, Revocations } from '../revocation/index.ts'
import type { InTransaction } from '../sessions/index.ts'
import type { CoreStores } from './core-stores.ts'
import type { AfterLoss, CommittedAct } from './postgres-after-loss.ts'

export type DataLossDeps = {
  readonly clock: Clock
  readonly revocations: Pick<Revocations, 'feedId' | 'findMissing'>
  readonly afterLoss: AfterLoss
  readonly inTransaction: InTransaction<CoreStores>
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

/** What is dead does not come back: the entries that this log lacks, and what else their transactions had changed. */
const restore = async (
  { clock, inTransaction }: DataLossDeps,
  missing: readonly RevocationEntry[],
): Promise<void> => {
  for (let at = 0; at < missing.length; at += batchEntries) {
    await inTransaction(async ({ revocations, afterLoss }) => {
      const added = await revocations.appendMissing(missing.slice(at, at + batchEntries))
      await afterLoss.repair(added, clock.nowMs())
    })
  }
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
  const { revocations, afterLoss, ownActs, report } = deps
  /** The log that was last found to have all that this process knows. */
  let knownFeedId: string | undefined
  let isUnanswered = false
  let steps = 0

  const look = async (feedId: string): Promise<void> => {
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
