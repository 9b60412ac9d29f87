import type { Sql } from '../infra/postgres/database.ts'
import { idFromBytes, idToBytes } from '../lib/id.ts'
import type { Account, AccountStatus, LoginAccount } from './account.ts'
import type { AccountStore } from './account-store.ts'

const columns = 'id, email, status, roles, created_at, updated_at'

const loginColumns = `${columns}, password_phc, password_pepper_id, failed_logins, epoch, claims_epoch`

const statements = {
  add: {
    name: 'account_add',
    text: `INSERT INTO accounts (id, email, email_canonical, status, roles, password_phc, password_pepper_id,
             created_at, updated_at)
           VALUES ($1, $2, $3, 'active', $4, $5, $6, $7, $7)
           ON CONFLICT (email_canonical) DO NOTHING RETURNING id`,
  },
  findByEmail: {
    name: 'account_find_by_email',
    text: `SELECT ${loginColumns} FROM accounts WHERE email_canonical = $1`,
  },
  find: { name: 'account_find', text: `SELECT ${columns} FROM accounts WHERE id = $1` },
  hasAnyWithRole: {
    name: 'account_has_any_with_role',
    text: 'SELECT EXISTS (SELECT FROM accounts WHERE $1 = ANY (roles)) AS found',
  },
  list: {
    name: 'account_list',
    text: `SELECT ${columns} FROM accounts
           WHERE ($1::text IS NULL OR email_canonical = $1) AND ($2::bytea IS NULL OR id > $2)
           ORDER BY id LIMIT $3`,
  },
  lock: {
    name: 'account_lock',
    text: `SELECT ${loginColumns} FROM accounts WHERE id = $1 FOR NO KEY UPDATE`,
  },
  countFailedLogin: {
    name: 'account_count_failed_login',
    text: `UPDATE accounts SET failed_logins = failed_logins + 1
           WHERE email_canonical = $1 AND failed_logins < $2 RETURNING failed_logins`,
  },
  recordLogin: {
    name: 'account_record_login',
    text: `UPDATE accounts SET failed_logins = 0, password_phc = coalesce($2, password_phc),
             password_pepper_id = CASE WHEN $2::text IS NULL THEN password_pepper_id ELSE $3 END
           WHERE id = $1 AND (failed_logins <> 0 OR $2::text IS NOT NULL)`,
  },
  change: {
    name: 'account_change',
    text: `UPDATE accounts SET status = $2, roles = $3, claims_epoch = claims_epoch + $4::integer,
             failed_logins = CASE WHEN $5 THEN 0 ELSE failed_logins END, updated_at = $6
           WHERE id = $1 RETURNING ${columns}`,
  },
  setPassword: {
    name: 'account_set_password',
    text: `UPDATE accounts SET password_phc = $2, password_pepper_id = $3, failed_logins = 0, updated_at = $4
           WHERE id = $1 RETURNING ${columns}`,
  },
  raiseEpoch: {
    name: 'account_raise_epoch',
    text: 'UPDATE accounts SET epoch = epoch + 1, updated_at = $2 WHERE id = $1 RETURNING epoch',
  },
  raiseGlobalEpoch: {
    name: 'account_raise_global_epoch',
    text: `UPDATE instance SET global_epoch = greatest(global_epoch + 1, $1::bigint)
           RETURNING global_epoch AS epoch`,
  },
}

type AccountRow = {
  id: Buffer
  email: string
  status: AccountStatus
  roles: string[]
  created_at: Date
  updated_at: Date
}

type LoginRow = AccountRow & {
  password_phc: string
  password_pepper_id: string | null
  failed_logins: number
  epoch: number
  claims_epoch: number
}

const accountOf = (row: AccountRow): Account => ({
  accountId: idFromBytes(row.id),
  email: row.email,
  status: row.status,
  roles: row.roles,
  createdAtMs: row.created_at.getTime(),
  updatedAtMs: row.updated_at.getTime(),
})

const loginAccountOf = (row: LoginRow): LoginAccount => ({
  ...accountOf(row),
  password: { phc: row.password_phc, pepperId: row.password_pepper_id ?? undefined },
  failedLogins: row.failed_logins,
  epoch: row.epoch,
  claimsEpoch: row.claims_epoch,
})

/** An update of an account that its caller holds the lock of found no row. */
class AccountVanished extends Error {
  override readonly name = 'AccountVanished'
}

const present = <Row>(row: Row | undefined): Row => {
  if (!row) throw new AccountVanished('the account was locked and is gone')
  return row
}

type Reading = 'findByEmail' | 'find' | 'hasAnyWithRole' | 'list' | 'lock'

const reads = (sql: Sql): Pick<AccountStore, Reading> => ({
  findByEmail: async (canonicalEmail) => {
    const [row] = await sql.query<LoginRow>(statements.findByEmail, [canonicalEmail])
    return row && loginAccountOf(row)
  },
  find: async (accountId) => {
    const [row] = await sql.query<AccountRow>(statements.find, [idToBytes(accountId)])
    return row && accountOf(row)
  },
  hasAnyWithRole: async (role) => {
    const [row] = await sql.query<{ found: boolean }>(statements.hasAnyWithRole, [role])
    return row?.found === true
  },
  list: async ({ canonicalEmail, afterId, limit }) => {
    const after = afterId === undefined ? undefined : idToBytes(afterId)
    return (await sql.query<AccountRow>(statements.list, [canonicalEmail, after, limit])).map(
      accountOf,
    )
  },
  lock: async (accountId) => {
    const [row] = await sql.query<LoginRow>(statements.lock, [idToBytes(accountId)])
    return row && loginAccountOf(row)
  },
})

const writes = (sql: Sql): Omit<AccountStore, Reading> => ({
  add: async ({ accountId, email, canonicalEmail, roles, password, nowMs }) => {
    const values = [
      idToBytes(accountId),
      email,
      canonicalEmail,
      roles,
      password.phc,
      password.pepperId,
    ]
    return (await sql.query(statements.add, [...values, new Date(nowMs)])).length === 1
  },
  countFailedLogin: async (canonicalEmail, limit) => {
    const values = [canonicalEmail, limit]
    const [row] = await sql.query<{ failed_logins: number }>(statements.countFailedLogin, values)
    return row?.failed_logins
  },
  recordLogin: async (accountId, rehashed) => {
    const values = [idToBytes(accountId), rehashed?.phc, rehashed?.pepperId]
    await sql.query(statements.recordLogin, values)
  },
  change: async (change) => {
    const [row] = await sql.query<AccountRow>(statements.change, [
      idToBytes(change.accountId),
      change.status,
      change.roles,
      change.raisesClaimsEpoch ? 1 : 0,
      change.clearsFailedLogins,
      new Date(change.nowMs),
    ])
    return accountOf(present(row))
  },
  setPassword: async (accountId, password, nowMs) => {
    const values = [idToBytes(accountId), password.phc, password.pepperId, new Date(nowMs)]
    const [row] = await sql.query<AccountRow>(statements.setPassword, values)
    return accountOf(present(row))
  },
  raiseEpoch: async (accountId, nowMs) => {
    const values = [idToBytes(accountId), new Date(nowMs)]
    const [row] = await sql.query<{ epoch: number }>(statements.raiseEpoch, values)
    return present(row).epoch
  },
  raiseGlobalEpoch: async (nowMs) => {
    const values = [Math.floor(nowMs / 1000)]
    const [row] = await sql.query<{ epoch: number }>(statements.raiseGlobalEpoch, values)
    return present(row).epoch
  },
})

export const postgresAccountStore = (sql: Sql): AccountStore => ({ ...reads(sql), ...writes(sql) })
