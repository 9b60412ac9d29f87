import pg from 'pg'
import { afterAll, beforeAll, beforeEach, onTestFinished } from 'vitest'
import { auditPseudonym, postgresAuditTrail } from '../../src/audit/index.ts'
import type { Database } from '../../src/infra/postgres/database.ts'
import {
  postgresSigningKeyStore,
  postgresSigningKeyTransaction,
  type SigningAlgorithm,
  type SigningKeys,
  secretRing,
  signingKeys,
} from '../../src/keys/index.ts'
import type { InKeyTransaction } from '../../src/keys/signing-key-store.ts'
import { type Clock, systemRandom } from '../../src/lib/machine.ts'
import {
  appPool,
  type MigratedDatabase,
  migratedDatabase,
} from '../support/servers/migrated-database.ts'

export const dayMs = 86_400_000
export const hourMs = 3_600_000

export const keySecret = 'a secret of the keys, long enough to be one'

export type KeyDatabase = {
  readonly ownerUrl: string
  /** Connected as the owner of the tables. */
  readonly owner: pg.Client
  /** As an instance of its own would connect: with the application's role. */
  readonly connect: () => Database
}

/** A database of the test file's own, without keys at the beginning of each test. */
export const keyDatabase = (): KeyDatabase => {
  let fresh: MigratedDatabase
  let owner: pg.Client
  beforeAll(async () => {
    fresh = await migratedDatabase()
    owner = new pg.Client(fresh.ownerUrl)
    await owner.connect()
  })
  beforeEach(async () => {
    await owner.query('DELETE FROM signing_keys')
  })
  afterAll(async () => {
    await owner?.end()
    await fresh?.drop()
  })
  return {
    get ownerUrl() {
      return fresh.ownerUrl
    },
    get owner() {
      return owner
    },
    connect: () => {
      const database = appPool(fresh.appUrl)
      onTestFinished(() => database.close())
      return database
    },
  }
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
  const reference = auditPseudonym(Buffer.alloc(32))
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
