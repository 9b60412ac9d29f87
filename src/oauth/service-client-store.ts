import type { AccountStore, OwnedClients } from '../accounts/index.ts'
import type { AuditTrail } from '../audit/index.ts'
import type { Sql } from '../infra/postgres/database.ts'
import { idFromBytes, idToBytes } from '../lib/machine.ts'
import type { RevocationLog } from '../revocation/index.ts'
import type { ClientSecret, ServiceClient } from './service-client.ts'

export type NewServiceClient = {
  readonly clientId: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
  readonly ownerId?: string | undefined
  readonly secretDigest: Buffer
  readonly nowMs: number
}

/** The facts for a client's token, all from the same moment. */
export type ClientRights = {
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
  readonly globalEpoch: number
  readonly clientEpoch: number
  /** The digests of its valid secrets. */
  readonly digests: readonly Buffer[]
}

export type ServiceClientStore = OwnedClients & {
  /** False when an enabled client has this name. Then nothing is written. */
  readonly add: (client: NewServiceClient) => Promise<boolean>
  /** All of them, oldest first. There are only as many as services. */
  readonly list: () => Promise<ServiceClient[]>
  readonly find: (clientId: string) => Promise<ServiceClient | undefined>
  /** Reads a client and locks it until the transaction ends. Returns nothing when there is no such client. */
  readonly lock: (clientId: string) => Promise<ServiceClient | undefined>
  /** After the commit the client is refused. A client that is already disabled keeps its earlier time. */
  readonly disable: (clientId: string, nowMs: number) => Promise<void>
  /** Raises the epoch of a client that the caller has locked, which revokes every token issued to it before. Returns the new epoch. */
  readonly raiseEpoch: (clientId: string) => Promise<number>
  /**
   * Digests of the valid secrets of this client. Empty when the client or its owner is disabled or unknown; several while one secret
   * replaces another.
   */
  readonly validDigests: (clientId: string) => Promise<Buffer[]>
  /** One statement. Returns nothing when it is unknown, it or its owner is disabled, or it has no secret. */
  readonly rights: (clientId: string) => Promise<ClientRights | undefined>
  /** All secrets that the client ever had, oldest first. */
  readonly secrets: (clientId: string) => Promise<ClientSecret[]>
  readonly addSecret: (clientId: string, digest: Buffer, nowMs: number) => Promise<void>
  /** A secret that is already revoked keeps its earlier time. */
  readonly revokeSecret: (clientId: string, digest: Buffer, nowMs: number) => Promise<void>
}

/** The stores that an operation on service clients uses in one transaction. */
export type ServiceClientStores = {
  readonly clients: ServiceClientStore
  readonly accounts: Pick<AccountStore, 'lock'>
  readonly revocations: RevocationLog
  readonly audit: AuditTrail
}

const columns = 'id, name, scopes, audiences, owner_id, created_at, disabled_at'

/** For `c`. The owner may have been disabled directly in the database, which does not disable the client. */
const mayCall = `c.disabled_at IS NULL AND (c.owner_id IS NULL
      OR EXISTS (SELECT FROM accounts a WHERE a.id = c.owner_id AND a.status = 'active'))`

/** One statement for both rows: the secret is added only if the client was. */
const addStatement = {
  name: 'service_client_add',
  text: `WITH added AS (
      INSERT INTO service_clients (id, name, scopes, audiences, created_at, owner_id) VALUES ($1, $2, $3, $4, $6, $7)
      ON CONFLICT (name) WHERE disabled_at IS NULL DO NOTHING RETURNING id, created_at)
    INSERT INTO service_client_secrets (client_id, digest, created_at)
    SELECT id, $5, created_at FROM added RETURNING client_id`,
}

const listStatement = {
  name: 'service_client_list',
  text: `SELECT ${columns} FROM service_clients ORDER BY created_at, id`,
}

const findStatement = {
  name: 'service_client_find',
  text: `SELECT ${columns} FROM service_clients WHERE id = $1`,
}

const lockStatement = {
  name: 'service_client_lock',
  text: `SELECT ${columns} FROM service_clients WHERE id = $1 FOR NO KEY UPDATE`,
}

const disableStatement = {
  name: 'service_client_disable',
  text: 'UPDATE service_clients SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL',
}

/** All of one account. Their epochs rise in the same statement. */
const disableOwnedStatement = {
  name: 'service_client_disable_owned',
  text: `UPDATE service_clients SET disabled_at = $2, epoch = epoch + 1
    WHERE owner_id = $1 AND disabled_at IS NULL RETURNING id, name, epoch`,
}

const raiseEpochStatement = {
  name: 'service_client_raise_epoch',
  text: 'UPDATE service_clients SET epoch = epoch + 1 WHERE id = $1 RETURNING epoch',
}

const validDigestsStatement = {
  name: 'service_client_valid_digests',
  text: `SELECT s.digest FROM service_client_secrets s JOIN service_clients c ON c.id = s.client_id
    WHERE c.id = $1 AND ${mayCall} AND s.revoked_at IS NULL`,
}

/** Epochs and the state of the client come from one snapshot, so that later commits revoke a token made from it. */
const rightsStatement = {
  name: 'service_client_rights',
  text: `SELECT c.scopes, c.audiences, c.epoch, i.global_epoch, array_agg(s.digest) AS digests
    FROM service_clients c CROSS JOIN instance i JOIN service_client_secrets s ON s.client_id = c.id AND s.revoked_at IS NULL
    WHERE c.id = $1 AND ${mayCall} GROUP BY c.id, i.global_epoch`,
}

const secretsStatement = {
  name: 'service_client_secrets',
  text: `SELECT digest, created_at, revoked_at FROM service_client_secrets
    WHERE client_id = $1 ORDER BY created_at, digest`,
}

const addSecretStatement = {
  name: 'service_client_secret_add',
  text: 'INSERT INTO service_client_secrets (client_id, digest, created_at) VALUES ($1, $2, $3)',
}

const revokeSecretStatement = {
  name: 'service_client_secret_revoke',
  text: `UPDATE service_client_secrets SET revoked_at = $3
    WHERE client_id = $1 AND digest = $2 AND revoked_at IS NULL`,
}

type Row = {
  id: Buffer
  name: string
  scopes: string[]
  audiences: string[]
  owner_id: Buffer | null
  created_at: Date
  disabled_at: Date | null
}

type RightsRow = {
  scopes: string[]
  audiences: string[]
  epoch: number
  global_epoch: number
  digests: Buffer[]
}

type EndedRow = { id: Buffer; name: string; epoch: number }

type SecretRow = { digest: Buffer; created_at: Date; revoked_at: Date | null }

/** An update found no row, although its caller holds the lock of the client. */
class ClientVanished extends Error {
  override readonly name = 'ClientVanished'
}

const clientOf = (row: Row): ServiceClient => ({
  clientId: idFromBytes(row.id),
  name: row.name,
  scopes: row.scopes,
  audiences: row.audiences,
  ...(row.owner_id && { ownerId: idFromBytes(row.owner_id) }),
  createdAtMs: row.created_at.getTime(),
  ...(row.disabled_at && { disabledAtMs: row.disabled_at.getTime() }),
})

const clientMethods = (
  sql: Sql,
): Pick<
  ServiceClientStore,
  'add' | 'list' | 'find' | 'lock' | 'disable' | 'disableOwned' | 'raiseEpoch'
> => ({
  add: async ({ clientId, name, scopes, audiences, ownerId, secretDigest, nowMs }) => {
    const owner = ownerId === undefined ? undefined : idToBytes(ownerId)
    const values = [
      idToBytes(clientId),
      name,
      scopes,
      audiences,
      secretDigest,
      new Date(nowMs),
      owner,
    ]
    return (await sql.query(addStatement, values)).length === 1
  },
  list: async () => (await sql.query<Row>(listStatement)).map(clientOf),
  find: async (clientId) => {
    const [row] = await sql.query<Row>(findStatement, [idToBytes(clientId)])
    return row && clientOf(row)
  },
  lock: async (clientId) => {
    const [row] = await sql.query<Row>(lockStatement, [idToBytes(clientId)])
    return row && clientOf(row)
  },
  disable: async (clientId, nowMs) => {
    await sql.query(disableStatement, [idToBytes(clientId), new Date(nowMs)])
  },
  disableOwned: async (accountId, nowMs) => {
    const values = [idToBytes(accountId), new Date(nowMs)]
    const rows = await sql.query<EndedRow>(disableOwnedStatement, values)
    return rows.map(({ id, name, epoch }) => ({
      clientId: idFromBytes(id),
      name,
      minEpoch: epoch,
    }))
  },
  raiseEpoch: async (clientId) => {
    const values = [idToBytes(clientId)]
    const [row] = await sql.query<{ epoch: number }>(raiseEpochStatement, values)
    if (!row) throw new ClientVanished('the client was locked and is gone')
    return row.epoch
  },
})

/** Methods for secrets and rights. */
const credentialMethods = (
  sql: Sql,
): Omit<ServiceClientStore, keyof ReturnType<typeof clientMethods>> => ({
  validDigests: async (clientId) => {
    const rows = await sql.query<{ digest: Buffer }>(validDigestsStatement, [idToBytes(clientId)])
    return rows.map(({ digest }) => digest)
  },
  rights: async (clientId) => {
    const [row] = await sql.query<RightsRow>(rightsStatement, [idToBytes(clientId)])
    if (!row) return undefined
    const { scopes, audiences, digests, epoch, global_epoch: globalEpoch } = row
    return { scopes, audiences, digests, clientEpoch: epoch, globalEpoch }
  },
  secrets: async (clientId) => {
    const rows = await sql.query<SecretRow>(secretsStatement, [idToBytes(clientId)])
    return rows.map((row) => ({
      digest: row.digest,
      createdAtMs: row.created_at.getTime(),
      ...(row.revoked_at && { revokedAtMs: row.revoked_at.getTime() }),
    }))
  },
  addSecret: async (clientId, digest, nowMs) => {
    await sql.query(addSecretStatement, [idToBytes(clientId), digest, new Date(nowMs)])
  },
  revokeSecret: async (clientId, digest, nowMs) => {
    await sql.query(revokeSecretStatement, [idToBytes(clientId), digest, new Date(nowMs)])
  },
})

export const postgresServiceClientStore = (sql: Sql): ServiceClientStore => ({
  ...clientMethods(sql),
  ...credentialMethods(sql),
})
