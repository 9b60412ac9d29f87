import type { Sql } from '../infra/postgres/database.ts'
import { idFromBytes, idToBytes } from '../lib/machine.ts'
import type { SessionStores } from '../sessions/index.ts'
import type {
  Account,
  AccountForLogin,
  AccountStatus,
  LoginAccount,
  StoredPassword,
} from './account.ts'
import type { EmailAddress } from './email-address.ts'

/** A service client that was disabled with its owner. Tokens with a lower epoch are revoked. */
export type EndedClient = {
  readonly clientId: string
  readonly name: string
  readonly minEpoch: number
}

/** The service clients of accounts, as far as the accounts feature needs them. */
export type OwnedClients = {
  /** Permanently disables the clients of an account that the caller has locked, and raises their epochs. */
  readonly disableOwned: (accountId: string, nowMs: number) => Promise<readonly EndedClient[]>
}

export type NewAccount = {
  readonly accountId: string
  readonly email: string
  /** Identifies the account. Only `email-address.ts` computes it. */
  readonly canonicalEmail: string
  readonly roles: readonly string[]
  readonly password: StoredPassword
  readonly nowMs: number
}

export type AccountStore = {
  /** False when the address is taken. Then nothing is written. */
  readonly add: (account: NewAccount) => Promise<boolean>
  /** Returns nothing when no account has this address. */
  readonly findByEmail: (
    canonicalEmail: string,
    deviceId?: string,
  ) => Promise<AccountForLogin | undefined>
  readonly find: (accountId: string) => Promise<Account | undefined>
  readonly hasAnyWithRole: (role: string) => Promise<boolean>
  /**
   * In the order of the ids, which are random: at most `limit` accounts after the given one, or the first ones. Each limit is a separate
   * statement.
   */
  readonly list: (afterId: string | undefined, limit: 100 | 1000) => Promise<Account[]>
  /** The account with this address, if there is one. */
  readonly listByEmail: (canonicalEmail: string) => Promise<Account[]>
  /**
   * Reads an account and locks it until the transaction ends: no other transaction can change it or open a session for it. Returns nothing
   * when there is no such account.
   */
  readonly lock: (accountId: string) => Promise<LoginAccount | undefined>
  /**
   * Counts a wrong password and returns how many in a row this makes. Returns nothing when no account has this address, or when the count
   * is already at the limit.
   */
  readonly countFailedLogin: (canonicalEmail: string, limit: number) => Promise<number | undefined>
  /** The same for one known device of the account. */
  readonly countDeviceFailure: (failure: DeviceFailure) => Promise<number | undefined>
  /** After a correct password: resets the counts of unknown devices and of this device, and replaces the hash if one is given. */
  readonly recordLogin: (
    accountId: string,
    rehashed: StoredPassword | undefined,
    deviceId: string | undefined,
  ) => Promise<void>
  /** Deletes at most `limit` device counts whose last failure is older. Returns how many. */
  readonly dropDeviceFailures: (
    nowMs: number,
    keptSeconds: number,
    limit: number,
  ) => Promise<number>
  /** Returns nothing when another account has the address. Then the transaction has failed and must be rolled back. */
  readonly change: (change: AccountChange) => Promise<Account | undefined>
  /** Replaces the password of an account that the caller has locked, and resets the count of failures. */
  readonly setPassword: (
    accountId: string,
    password: StoredPassword,
    nowMs: number,
  ) => Promise<Account>
  /** Raises the account's epoch, which revokes everything issued to it before. Returns the new epoch. */
  readonly raiseEpoch: (accountId: string, nowMs: number) => Promise<number>
  /** Raises the global epoch, which revokes everything issued before. Returns the new epoch. */
  readonly raiseGlobalEpoch: (nowMs: number) => Promise<number>
}

/** The stores that an operation on an account uses in one transaction. */
export type AccountStores = SessionStores & {
  readonly accounts: AccountStore
  readonly clients: OwnedClients
}

export type DeviceFailure = {
  readonly canonicalEmail: string
  readonly deviceId: string
  readonly limit: number
  readonly nowMs: number
}

/** The new state of an account that the caller has locked. */
export type AccountChange = {
  readonly accountId: string
  readonly status: AccountStatus
  readonly roles: readonly string[]
  /** Left out: the address stays the same. */
  readonly email?: EmailAddress | undefined
  /** Whether the change revokes what was read of the account before: tokens and cached cookie sessions. */
  readonly raisesClaimsEpoch: boolean
  /** Whether to unlock a locked password. */
  readonly clearsFailedLogins: boolean
  readonly nowMs: number
}

const columns = 'id, email, status, roles, created_at, updated_at'

const loginColumns = `${columns}, password_phc, password_pepper_id, failed_logins, epoch, claims_epoch,
  (SELECT global_epoch FROM instance) AS global_epoch`

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
    text: `SELECT ${loginColumns}, coalesce((SELECT d.failures FROM device_failures d
             WHERE d.account_id = accounts.id AND d.device_id = $2), 0) AS device_failures
           FROM accounts WHERE email_canonical = $1`,
  },
  find: { name: 'account_find', text: `SELECT ${columns} FROM accounts WHERE id = $1` },
  hasAnyWithRole: {
    name: 'account_has_any_with_role',
    text: 'SELECT EXISTS (SELECT FROM accounts WHERE $1 = ANY (roles)) AS found',
  },
  // Each list has one condition, so that it uses one index. With `$1 IS NULL OR …` the generic plan of Postgres reads the whole table, as
  // it does when it does not know the limit.
  list: (limit: number) => ({
    name: `account_list_${limit}`,
    text: `SELECT ${columns} FROM accounts WHERE id > $1 ORDER BY id LIMIT ${limit}`,
  }),
  listByEmail: {
    name: 'account_list_by_email',
    text: `SELECT ${columns} FROM accounts WHERE email_canonical = $1`,
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
  countDeviceFailure: {
    name: 'account_count_device_failure',
    text: `INSERT INTO device_failures AS d (account_id, device_id, failures, failed_at)
           SELECT id, $2, 1, $4 FROM accounts WHERE email_canonical = $1
           ON CONFLICT (account_id, device_id) DO UPDATE SET failures = d.failures + 1, failed_at = excluded.failed_at
             WHERE d.failures < $3
           RETURNING failures`,
  },
  recordLogin: {
    name: 'account_record_login',
    text: `WITH forgiven AS (DELETE FROM device_failures WHERE account_id = $1 AND device_id = $4)
           UPDATE accounts SET failed_logins = 0, password_phc = coalesce($2, password_phc),
             password_pepper_id = CASE WHEN $2::text IS NULL THEN password_pepper_id ELSE $3 END
           WHERE id = $1 AND (failed_logins <> 0 OR $2::text IS NOT NULL)`,
  },
  change: {
    name: 'account_change',
    text: `WITH forgiven AS (DELETE FROM device_failures WHERE account_id = $1 AND $5)
           UPDATE accounts SET status = $2, roles = $3, claims_epoch = claims_epoch + $4::integer,
             failed_logins = CASE WHEN $5 THEN 0 ELSE failed_logins END, updated_at = $6,
             email = coalesce($7, email), email_canonical = coalesce($8, email_canonical)
           WHERE id = $1 RETURNING ${columns}`,
  },
  dropDeviceFailures: {
    name: 'account_drop_device_failures',
    text: `DELETE FROM device_failures WHERE (account_id, device_id) IN
             (SELECT account_id, device_id FROM device_failures
              WHERE failed_at < least($1::timestamptz, now()) - make_interval(secs => $2) ORDER BY failed_at LIMIT $3
              FOR UPDATE SKIP LOCKED)
           RETURNING account_id`,
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
  global_epoch: number
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
  globalEpoch: row.global_epoch,
  claimsEpoch: row.claims_epoch,
})

/** An update found no row, although its caller holds the lock of the account. */
class AccountVanished extends Error {
  override readonly name = 'AccountVanished'
}

const present = <Row>(row: Row | undefined): Row => {
  if (!row) throw new AccountVanished('the account was locked and is gone')
  return row
}

/** SQLSTATE unique_violation. Besides the id, only the address is unique. */
const isTaken = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === '23505'

type Reading = 'findByEmail' | 'find' | 'hasAnyWithRole' | 'list' | 'listByEmail' | 'lock'

const reads = (sql: Sql): Pick<AccountStore, Reading> => ({
  findByEmail: async (canonicalEmail, deviceId): Promise<AccountForLogin | undefined> => {
    const values = [canonicalEmail, deviceId === undefined ? undefined : idToBytes(deviceId)]
    type Row = LoginRow & { device_failures: number }
    const [row] = await sql.query<Row>(statements.findByEmail, values)
    return row && { ...loginAccountOf(row), deviceFailures: row.device_failures }
  },
  find: async (accountId) => {
    const [row] = await sql.query<AccountRow>(statements.find, [idToBytes(accountId)])
    return row && accountOf(row)
  },
  hasAnyWithRole: async (role) => {
    const [row] = await sql.query<{ found: boolean }>(statements.hasAnyWithRole, [role])
    return row?.found === true
  },
  list: async (afterId, limit) => {
    // Every id is greater than an empty byte string.
    const after = afterId === undefined ? Buffer.alloc(0) : idToBytes(afterId)
    return (await sql.query<AccountRow>(statements.list(limit), [after])).map(accountOf)
  },
  listByEmail: async (canonicalEmail) =>
    (await sql.query<AccountRow>(statements.listByEmail, [canonicalEmail])).map(accountOf),
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
  countDeviceFailure: async ({ canonicalEmail, deviceId, limit, nowMs }) => {
    const values = [canonicalEmail, idToBytes(deviceId), limit, new Date(nowMs)]
    const [row] = await sql.query<{ failures: number }>(statements.countDeviceFailure, values)
    return row?.failures
  },
  recordLogin: async (accountId, rehashed, deviceId) => {
    const device = deviceId === undefined ? undefined : idToBytes(deviceId)
    const values = [idToBytes(accountId), rehashed?.phc, rehashed?.pepperId, device]
    await sql.query(statements.recordLogin, values)
  },
  dropDeviceFailures: async (nowMs, keptSeconds, limit) => {
    const values = [new Date(nowMs), keptSeconds, limit]
    return (await sql.query(statements.dropDeviceFailures, values)).length
  },
  change: async (change) => {
    try {
      const [row] = await sql.query<AccountRow>(statements.change, [
        idToBytes(change.accountId),
        change.status,
        change.roles,
        change.raisesClaimsEpoch ? 1 : 0,
        change.clearsFailedLogins,
        new Date(change.nowMs),
        change.email?.address,
        change.email?.canonical,
      ])
      return accountOf(present(row))
    } catch (error) {
      if (isTaken(error)) return undefined
      throw error
    }
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
