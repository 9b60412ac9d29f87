import type { Database, Sql } from '../infra/postgres/database.ts'
import type { NewSigningKey, SigningAlgorithm, SigningKeyState } from './signing-key.ts'
import type { SigningKeyStore, SigningKeyTransaction } from './signing-key-store.ts'

const listUsable = {
  name: 'signing_keys_usable',
  text: `SELECT kid, algorithm, state, sealed_private FROM signing_keys
         WHERE state <> 'gone' ORDER BY created_at, kid`,
}

const hasAny = {
  name: 'signing_keys_any',
  text: 'SELECT EXISTS (SELECT FROM signing_keys) AS any',
}

/**
 * Freed at the end of the transaction, also when the connection is lost. The number only has to differ from that of other
 * advisory locks in the database; it is the ASCII of "keys".
 */
const lockForRotation = {
  name: 'signing_keys_lock',
  text: 'SELECT pg_advisory_xact_lock(1801812339)',
}

const insert = {
  name: 'signing_keys_insert',
  text: `INSERT INTO signing_keys (kid, algorithm, state, public_jwk, sealed_private, created_at, activated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)`,
}

/** The table's checks admit no other algorithm and no other state. */
type Row = {
  kid: string
  algorithm: SigningAlgorithm
  state: SigningKeyState
  sealed_private: Buffer
}

const insertKey = async (sql: Sql, key: NewSigningKey): Promise<void> => {
  await sql.query(insert, [
    key.kid,
    key.algorithm,
    key.state,
    JSON.stringify(key.publicJwk),
    key.sealedPrivate,
    new Date(key.createdAtMs),
    key.activatedAtMs === undefined ? null : new Date(key.activatedAtMs),
  ])
}

const transactionOn = (sql: Sql): SigningKeyTransaction => ({
  lockForRotation: async () => {
    await sql.query(lockForRotation)
  },
  hasAny: async () => {
    const rows = await sql.query<{ any: boolean }>(hasAny)
    return rows.some((row) => row.any)
  },
  insert: (key) => insertKey(sql, key),
})

export const postgresSigningKeyStore = (database: Database): SigningKeyStore => ({
  listUsable: async () => {
    const rows = await database.query<Row>(listUsable)
    return rows.map(({ kid, algorithm, state, sealed_private }) => ({
      kid,
      algorithm,
      state,
      sealedPrivate: sealed_private,
    }))
  },
  transaction: (work) => database.transaction((sql) => work(transactionOn(sql))),
})
