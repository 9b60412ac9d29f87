import type { Sql } from '../infra/postgres/database.ts'
import { idFromBytes, idToBytes } from '../lib/id.ts'
import type { ServiceClient } from './service-client.ts'
import type { ServiceClientStore } from './service-client-store.ts'

const columns = 'id, name, created_at, disabled_at'

const statements = {
  // One statement for both rows: the secret is added only if the client was.
  add: {
    name: 'service_client_add',
    text: `WITH added AS (
             INSERT INTO service_clients (id, name, created_at) VALUES ($1, $2, $4)
             ON CONFLICT (name) WHERE disabled_at IS NULL DO NOTHING RETURNING id, created_at)
           INSERT INTO service_client_secrets (client_id, digest, created_at)
           SELECT id, $3, created_at FROM added RETURNING client_id`,
  },
  list: {
    name: 'service_client_list',
    text: `SELECT ${columns} FROM service_clients ORDER BY created_at, id`,
  },
  lock: {
    name: 'service_client_lock',
    text: `SELECT ${columns} FROM service_clients WHERE id = $1 FOR NO KEY UPDATE`,
  },
  disable: {
    name: 'service_client_disable',
    text: 'UPDATE service_clients SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL',
  },
  validDigests: {
    name: 'service_client_valid_digests',
    text: `SELECT s.digest FROM service_client_secrets s JOIN service_clients c ON c.id = s.client_id
           WHERE c.id = $1 AND c.disabled_at IS NULL AND s.revoked_at IS NULL`,
  },
}

type Row = { id: Buffer; name: string; created_at: Date; disabled_at: Date | null }

const clientOf = (row: Row): ServiceClient => ({
  clientId: idFromBytes(row.id),
  name: row.name,
  createdAtMs: row.created_at.getTime(),
  ...(row.disabled_at && { disabledAtMs: row.disabled_at.getTime() }),
})

export const postgresServiceClientStore = (sql: Sql): ServiceClientStore => ({
  add: async ({ clientId, name, secretDigest, nowMs }) => {
    const values = [idToBytes(clientId), name, secretDigest, new Date(nowMs)]
    return (await sql.query(statements.add, values)).length === 1
  },
  list: async () => (await sql.query<Row>(statements.list)).map(clientOf),
  lock: async (clientId) => {
    const [row] = await sql.query<Row>(statements.lock, [idToBytes(clientId)])
    return row && clientOf(row)
  },
  disable: async (clientId, nowMs) => {
    await sql.query(statements.disable, [idToBytes(clientId), new Date(nowMs)])
  },
  validDigests: async (clientId) => {
    const rows = await sql.query<{ digest: Buffer }>(statements.validDigests, [idToBytes(clientId)])
    return rows.map(({ digest }) => digest)
  },
})
