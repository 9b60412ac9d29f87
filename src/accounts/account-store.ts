import type { SessionStores } from '../sessions/index.ts'
import type { Account, AccountStatus, LoginAccount } from './account.ts'
import type { OwnedClients } from './owned-clients.ts'
import type { StoredPassword } from './password-hasher.ts'

export type NewAccount = {
  readonly accountId: string
  readonly email: string
  /** Decides who is who: see `email-address.ts`, which alone computes it. */
  readonly canonicalEmail: string
  readonly roles: readonly string[]
  readonly password: StoredPassword
  readonly nowMs: number
}

export type AccountPage = {
  /** Only the account with this canonical address; else all, in the order of their ids, which are random. */
  readonly canonicalEmail?: string
  /** Only accounts after this one in the order of ids. */
  readonly afterId?: string
  readonly limit: number
}

export type AccountStore = {
  /** False when the address is taken; then nothing is written. */
  readonly add: (account: NewAccount) => Promise<boolean>
  /** None: nobody has this address. */
  readonly findByEmail: (canonicalEmail: string) => Promise<LoginAccount | undefined>
  readonly find: (accountId: string) => Promise<Account | undefined>
  readonly hasAnyWithRole: (role: string) => Promise<boolean>
  readonly list: (page: AccountPage) => Promise<Account[]>
  /**
   * Reads an account and keeps everybody else from changing it, or opening a session of it, until the transaction ends.
   * None: there is no such account.
   */
  readonly lock: (accountId: string) => Promise<LoginAccount | undefined>
  /**
   * Counts a wrong password and says how many in a row that makes. None: nobody has this address, or the count has reached the limit
   * already and stays there.
   */
  readonly countFailedLogin: (canonicalEmail: string, limit: number) => Promise<number | undefined>
  /** A right password: the count starts again, and the hash is replaced if one is given. */
  readonly recordLogin: (accountId: string, rehashed: StoredPassword | undefined) => Promise<void>
  readonly change: (change: AccountChange) => Promise<Account>
  /** Replaces the password of an account that the caller has locked, and starts the count of failures again. */
  readonly setPassword: (
    accountId: string,
    password: StoredPassword,
    nowMs: number,
  ) => Promise<Account>
  /** Raises the account's epoch: everything issued to it before is dead. Returns the new epoch. */
  readonly raiseEpoch: (accountId: string, nowMs: number) => Promise<number>
  /** Raises the global epoch: everything issued before is dead. Returns the new epoch. */
  readonly raiseGlobalEpoch: (nowMs: number) => Promise<number>
}

/** What an act on an account reads and writes together. */
export type AccountStores = SessionStores & {
  readonly accounts: AccountStore
  readonly clients: OwnedClients
}

/** A new state of an account that the caller has locked. */
export type AccountChange = {
  readonly accountId: string
  readonly status: AccountStatus
  readonly roles: readonly string[]
  /** Whether tokens with the old roles die. */
  readonly raisesClaimsEpoch: boolean
  /** Whether a locked password may be tried again. */
  readonly clearsFailedLogins: boolean
  readonly nowMs: number
}
