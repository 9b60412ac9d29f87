import { type AccountStores, postgresAccountStore } from '../accounts/index.ts'
import { postgresAuditTrail, type Reference } from '../audit/index.ts'
import type { Database, Sql } from '../infra/postgres/database.ts'
import type { DatabaseClock } from '../infra/postgres/database-clock.ts'
import { storeErrors } from '../infra/postgres/store-failure.ts'
import { postgresSigningKeyTransaction, type SigningKeyTransaction } from '../keys/index.ts'
import type { Clock } from '../lib/clock.ts'
import { postgresServiceClientStore, type ServiceClientStore } from '../oauth/index.ts'
import {
  entryLifetimeMs,
  postgresRevocationLog,
  type RevocationEntry,
  type Revocations,
} from '../revocation/index.ts'
import {
  type CookieSessionStore,
  type InTransaction,
  postgresCookieSessionStore,
  postgresSessionStore,
} from '../sessions/index.ts'
import { type AfterLoss, type CommittedAct, postgresAfterLoss } from './postgres-after-loss.ts'
import type { SessionUpkeep } from './session-upkeep.ts'

/** What an act on anything here may read and write together. */
export type CoreStores = AccountStores & {
  readonly cookieSessions: CookieSessionStore
  readonly signingKeys: SigningKeyTransaction
  readonly clients: ServiceClientStore
  readonly afterLoss: AfterLoss
}

/** What a transaction tells of itself. */
type Heard = {
  readonly onAppend: (entry: RevocationEntry, reckonedAtMs: number) => void
  readonly onEnd: (sessionIds: readonly string[]) => void
  readonly onRecord: (id: number, atMs: number) => void
}

/**
 * How long an instance may take from reckoning the end of an entry to its commit, and Postgres then waits as long again for the commit
 * itself. Of the 40 s that entries outlive tokens by (`mintSlackSeconds`) the rest is for clocks that differ.
 */
const commitWithinMs = 5_000

/** The stores on one connection, or on the pool. */
export const storesOn =
  (clock: Clock, reference: Reference) =>
  (sql: Sql, { onAppend, onEnd, onRecord }: Heard): CoreStores => ({
    accounts: postgresAccountStore(sql),
    sessions: postgresSessionStore(sql, { tokensLastMs: entryLifetimeMs, onEnd }),
    cookieSessions: postgresCookieSessionStore(sql),
    revocations: postgresRevocationLog(sql, clock, onAppend),
    audit: postgresAuditTrail(sql, clock, reference, onRecord),
    signingKeys: postgresSigningKeyTransaction(sql),
    clients: postgresServiceClientStore(sql),
    afterLoss: postgresAfterLoss(sql),
  })

export type TransactionsDeps = {
  readonly clock: Clock & Pick<DatabaseClock, 'isSure'>
  readonly database: Database
  readonly storesFor: ReturnType<typeof storesOn>
  readonly revocations: Pick<Revocations, 'spread'>
  readonly keeper: SessionUpkeep['keeper']
  /** Told of the acts that a transaction has recorded, after its commit. */
  readonly onCommitted: (acts: readonly CommittedAct[]) => void
}

/**
 * Transactions that make known, after their commit, what was revoked and what has ended in them. A revocation that the process stood
 * still over, or whose time is in doubt, is not committed: it would be forgotten before the tokens are over that were made meanwhile.
 */
export const transactionsOver =
  ({
    clock,
    database,
    storesFor,
    revocations,
    keeper,
    onCommitted,
  }: TransactionsDeps): InTransaction<CoreStores> =>
  async (work) => {
    const revoked: RevocationEntry[] = []
    const ended: string[] = []
    const acts: CommittedAct[] = []
    let firstReckonedAtMs = Number.POSITIVE_INFINITY
    const heard: Heard = {
      onAppend: (entry, reckonedAtMs) => {
        revoked.push(entry)
        firstReckonedAtMs = Math.min(firstReckonedAtMs, reckonedAtMs)
      },
      onEnd: (sessionIds) => ended.push(...sessionIds),
      onRecord: (id, atMs) => acts.push({ id, atMs }),
    }
    const result = await database.transaction(async (sql) => {
      const done = await work(storesFor(sql, heard))
      const isLate = clock.nowMs() - firstReckonedAtMs > commitWithinMs
      if (revoked.length > 0 && (isLate || !clock.isSure())) {
        throw storeErrors.error('store_unavailable', { retryAfterSeconds: 1 })
      }
      return done
    })
    onCommitted(acts)
    // Another instance may not have heard of the revocation yet; without the copy it asks Postgres.
    await Promise.all([revocations.spread(revoked), keeper?.drop(ended)])
    return result
  }
