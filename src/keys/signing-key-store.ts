import type { Sql } from '../infra/postgres/database.ts'
import { advisoryLock } from '../infra/postgres/own-schema.ts'
import type {
  NewSigningKey,
  SigningAlgorithm,
  SigningKeyRecord,
  SigningKeyState,
  StoredSigningKey,
} from './signing-key.ts'

export type SigningKeyStore = {
  /** Every key that is not erased, oldest first. An empty list does not mean that there never were any. */
  readonly listUsable: () => Promise<StoredSigningKey[]>
  /** Every key that ever existed, oldest first. */
  readonly listAll: () => Promise<SigningKeyRecord[]>
}

/** Changes of keys, in one transaction that holds the lock. */
export type SigningKeyTransaction = SigningKeyStore & {
  /**
   * Waits until no other process is changing keys, and locks them until the transaction ends. What was read before may have changed, so
   * check it again. Do nothing slow while holding the lock.
   * @returns Postgres's time when the lock was taken, milliseconds since the Unix epoch
   */
  readonly lockForRotation: () => Promise<number>
  readonly insert: (key: NewSigningKey) => Promise<void>
  /** The active key stops signing and continues to verify. */
  readonly retire: (kid: string, atMs: number) => Promise<void>
  /** The next key begins to sign. There must be no active one. */
  readonly activate: (kid: string, atMs: number) => Promise<void>
  /** The next key signs as soon as possible. */
  readonly rotateEarly: (kid: string, atMs: number) => Promise<void>
  /** The private part of the key is permanently erased. */
  readonly erase: (kid: string) => Promise<void>
  /** The same for a revoked key. A repeated revocation keeps the first time. */
  readonly markRevoked: (kid: string, atMs: number) => Promise<void>
}

/** Who may change keys in this feature. Operators revoke keys through the admin feature. */
export type KeyActor = { readonly kind: 'system' } | { readonly kind: 'command-line' }

/** The audit entry of a change of the keys. Kids are public. */
export type KeyEvent = {
  readonly event:
    | 'signing_key_added'
    | 'signing_key_rotation_planned'
    | 'signing_key_rotated'
    | 'signing_key_erased'
  readonly outcome: 'success'
  readonly actor: KeyActor
  readonly details: Readonly<Record<string, string>>
}

/**
 * The stores that a change of the keys uses in one transaction. The audit trail is a later feature, so only the needed part of it is
 * declared.
 */
export type KeyStores = {
  readonly signingKeys: SigningKeyTransaction
  readonly audit: { readonly record: (event: KeyEvent) => Promise<void> }
}

/** Runs `work` in one transaction: everything is committed when the call resolves, nothing when it throws. */
export type InKeyTransaction = <T>(work: (stores: KeyStores) => Promise<T>) => Promise<T>

const columns =
  'kid, algorithm, state, created_at, activated_at, retired_at, hastened_at, revoked_at'

/** The order of the published key set: the same in every process, and a key never changes its place. */
const listUsable = {
  name: 'signing_keys_usable',
  text: `SELECT ${columns}, sealed_private FROM signing_keys
         WHERE state <> 'gone' ORDER BY created_at, kid`,
}

const listAll = {
  name: 'signing_keys_all',
  text: `SELECT ${columns} FROM signing_keys ORDER BY created_at, kid`,
}

/**
 * Released at the end of the transaction, even when the connection is lost. The number must only differ from other advisory locks in the
 * database; it is the ASCII of "keys".
 */
const lockForRotation = {
  name: 'signing_keys_lock',
  text: `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms
         FROM ${advisoryLock('1801812339')}`,
}

const insert = {
  name: 'signing_keys_insert',
  text: `INSERT INTO signing_keys
           (kid, algorithm, state, public_jwk, sealed_private, created_at, activated_at, hastened_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
}

/** Each statement requires the expected state. A key in another state is unchanged, which `RETURNING` reveals. */
const retire = {
  name: 'signing_keys_retire',
  text: `UPDATE signing_keys SET state = 'retiring', retired_at = $2
         WHERE kid = $1 AND state = 'active' RETURNING kid`,
}

const activate = {
  name: 'signing_keys_activate',
  text: `UPDATE signing_keys SET state = 'active', activated_at = $2
         WHERE kid = $1 AND state = 'next' RETURNING kid`,
}

const rotateEarly = {
  name: 'signing_keys_rotate_early',
  text: `UPDATE signing_keys SET hastened_at = $2
         WHERE kid = $1 AND state = 'next' RETURNING kid`,
}

const erase = {
  name: 'signing_keys_erase',
  text: `UPDATE signing_keys SET state = 'gone', sealed_private = NULL
         WHERE kid = $1 AND state <> 'gone' RETURNING kid`,
}

const markRevoked = {
  name: 'signing_keys_revoke',
  text: `UPDATE signing_keys
         SET state = 'gone', sealed_private = NULL, revoked_at = coalesce(revoked_at, $2)
         WHERE kid = $1 RETURNING kid`,
}

/** The checks of the table allow no other algorithm and no other state. */
type Row = {
  kid: string
  algorithm: SigningAlgorithm
  state: SigningKeyState
  created_at: Date
  activated_at: Date | null
  retired_at: Date | null
  hastened_at: Date | null
  revoked_at: Date | null
}

/** The checks of the table guarantee a private part for a key that is not erased. */
type UsableRow = Row & { sealed_private: Buffer }

const toRecord = (row: Row): SigningKeyRecord => ({
  kid: row.kid,
  algorithm: row.algorithm,
  state: row.state,
  createdAtMs: row.created_at.getTime(),
  activatedAtMs: row.activated_at?.getTime(),
  retiredAtMs: row.retired_at?.getTime(),
  rotateEarlyAtMs: row.hastened_at?.getTime(),
  revokedAtMs: row.revoked_at?.getTime(),
})

const toStored = (row: UsableRow): StoredSigningKey => ({
  ...toRecord(row),
  sealedPrivate: row.sealed_private,
})

const dateOf = (ms: number | undefined): Date | null => (ms === undefined ? null : new Date(ms))

const insertKey = async (sql: Sql, key: NewSigningKey): Promise<void> => {
  await sql.query(insert, [
    key.kid,
    key.algorithm,
    key.state,
    JSON.stringify(key.publicJwk),
    key.sealedPrivate,
    new Date(key.createdAtMs),
    dateOf(key.activatedAtMs),
    dateOf(key.rotateEarlyAtMs),
  ])
}

/** Something changed the keys without the lock. The transaction is rolled back. */
class KeyNotInThatState extends Error {
  override readonly name = 'KeyNotInThatState'
}

export const postgresSigningKeyStore = (sql: Sql): SigningKeyStore => ({
  listUsable: async () => (await sql.query<UsableRow>(listUsable)).map(toStored),
  listAll: async () => (await sql.query<Row>(listAll)).map(toRecord),
})

/** `sql` must be that of a transaction, because the lock lasts until its end. */
export const postgresSigningKeyTransaction = (sql: Sql): SigningKeyTransaction => {
  const change = async (
    statement: typeof retire,
    kid: string,
    ...values: readonly Date[]
  ): Promise<void> => {
    const rows = await sql.query(statement, [kid, ...values])
    if (rows.length !== 1) throw new KeyNotInThatState(`${statement.name} found no such key`)
  }
  return {
    ...postgresSigningKeyStore(sql),
    lockForRotation: async () => {
      const [row] = await sql.query<{ now_ms: number }>(lockForRotation)
      if (!row) throw new TypeError('a lock without a row')
      return row.now_ms
    },
    insert: (key) => insertKey(sql, key),
    retire: (kid, atMs) => change(retire, kid, new Date(atMs)),
    activate: (kid, atMs) => change(activate, kid, new Date(atMs)),
    rotateEarly: (kid, atMs) => change(rotateEarly, kid, new Date(atMs)),
    erase: (kid) => change(erase, kid),
    markRevoked: (kid, atMs) => change(markRevoked, kid, new Date(atMs)),
  }
}
