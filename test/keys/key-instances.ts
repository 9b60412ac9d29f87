import { onTestFinished } from 'vitest'
import { keyedReference, postgresAuditTrail } from '../../src/audit/index.ts'
import { type Database, openDatabase } from '../../src/infra/postgres/database.ts'
import {
  postgresSigningKeyStore,
  postgresSigningKeyTransaction,
  type SigningAlgorithm,
  type SigningKeys,
  secretRing,
  signingKeys,
} from '../../src/keys/index.ts'
import type { InKeyTransaction } from '../../src/keys/key-stores.ts'
import type { Clock } from '../../src/lib/clock.ts'
import { systemRandom } from '../../src/lib/random.ts'

export const dayMs = 86_400_000
export const hourMs = 3_600_000

export const keySecret = 'a secret of the keys, long enough to be one'

/** As an instance of its own would connect: with the application's role. */
export const connectAs = (url: string): Database => {
  const database = openDatabase({
    url,
    poolSize: 2,
    connectTimeoutMs: 10_000,
    statementTimeoutMs: 10_000,
    preparedStatements: true,
    onIdleError: () => undefined,
  })
  onTestFinished(() => database.close())
  return database
}

export type KeyInstanceOptions = {
  readonly database: Database
  readonly clock: Clock
  readonly secrets?: readonly string[]
  readonly algorithm?: SigningAlgorithm
  readonly isRevoked?: (kid: string) => boolean
  /** Runs before the commit of every transaction, e.g. to break it. */
  readonly beforeCommit?: () => Promise<void>
}

export type KeyInstance = {
  readonly keys: SigningKeys
  readonly inTransaction: InKeyTransaction
}

/** What one instance has of the keys, without the rest of the service. */
export const keyInstance = ({ database, clock, ...options }: KeyInstanceOptions): KeyInstance => {
  const reference = keyedReference(Buffer.alloc(32))
  const inTransaction: InKeyTransaction = (work) =>
    database.transaction(async (sql) => {
      const result = await work({
        signingKeys: postgresSigningKeyTransaction(sql),
        audit: postgresAuditTrail(sql, clock, reference),
      })
      await options.beforeCommit?.()
      return result
    })
  const keys = signingKeys({
    store: postgresSigningKeyStore(database),
    inTransaction,
    secrets: secretRing(options.secrets ?? [keySecret]),
    algorithm: options.algorithm ?? 'ES256',
    rotationMs: 30 * dayMs,
    isRevoked: options.isRevoked ?? (() => false),
    clock,
    random: systemRandom,
  })
  return { keys, inTransaction }
}
