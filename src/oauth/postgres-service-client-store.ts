import type { Sql } from '../infra/postgres/database.ts'
import { idFromBytes, idToBytes } from '../lib/id.ts'
import type { ServiceClient } from './service-client.ts'
import * as statements from './service-client-sql.ts'
import type { ServiceClientStore } from './service-client-store.ts'

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

/** An update of a client that its caller holds the lock of found no row. */
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

/** The clients themselves. */
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
    return (await sql.query(statements.add, values)).length === 1
  },
  list: async () => (await sql.query<Row>(statements.list)).map(clientOf),
  find: async (clientId) => {
    const [row] = await sql.query<Row>(statements.find, [idToBytes(clientId)])
    return row && clientOf(row)
  },
  lock: async (clientId) => {
    const [row] = await sql.query<Row>(statements.lock, [idToBytes(clientId)])
    return row && clientOf(row)
  },
  disable: async (clientId, nowMs) => {
    await sql.query(statements.disable, [idToBytes(clientId), new Date(nowMs)])
  },
  disableOwned: async (accountId, nowMs) => {
    const values = [idToBytes(accountId), new Date(nowMs)]
    const rows = await sql.query<EndedRow>(statements.disableOwned, values)
    return rows.map(({ id, name, epoch }) => ({
      clientId: idFromBytes(id),
      name,
      minEpoch: epoch,
    }))
  },
  raiseEpoch: async (clientId) => {
    const values = [idToBytes(clientId)]
    const [row] = await sql.query<{ epoch: number }>(statements.raiseEpoch, values)
    if (!row) throw new ClientVanished('the client was locked and is gone')
    return row.epoch
  },
})

/** What they prove who they are with, and what follows from it. */
const credentialMethods = (
  sql: Sql,
): Omit<ServiceClientStore, keyof ReturnType<typeof clientMethods>> => ({
  validDigests: async (clientId) => {
    const rows = await sql.query<{ digest: Buffer }>(statements.validDigests, [idToBytes(clientId)])
    return rows.map(({ digest }) => digest)
  },
  rights: async (clientId) => {
    const [row] = await sql.query<RightsRow>(statements.rights, [idToBytes(clientId)])
    if (!row) return undefined
    const { scopes, audiences, digests, epoch, global_epoch: globalEpoch } = row
    return { scopes, audiences, digests, clientEpoch: epoch, globalEpoch }
  },
  secrets: async (clientId) => {
    const rows = await sql.query<SecretRow>(statements.secrets, [idToBytes(clientId)])
    return rows.map((row) => ({
      digest: row.digest,
      createdAtMs: row.created_at.getTime(),
      ...(row.revoked_at && { revokedAtMs: row.revoked_at.getTime() }),
    }))
  },
  addSecret: async (clientId, digest, nowMs) => {
    await sql.query(statements.addSecret, [idToBytes(clientId), digest, new Date(nowMs)])
  },
  revokeSecret: async (clientId, digest, nowMs) => {
    await sql.query(statements.revokeSecret, [idToBytes(clientId), digest, new Date(nowMs)])
  },
  stands: async ({ claims: { sub, jti, aep }, kid, nowMs }) => {
    const [globalEpoch, clientEpoch] = aep
    const values = [idToBytes(sub), globalEpoch, clientEpoch, jti, new Date(nowMs), kid]
    const [row] = await sql.query<{ stands: boolean }>(statements.stands, values)
    return row?.stands === true
  },
})

export const postgresServiceClientStore = (sql: Sql): ServiceClientStore => ({
  ...clientMethods(sql),
  ...credentialMethods(sql),
})
