import type { StoredPassword } from './password-hasher.ts'

export type AccountStatus = 'active' | 'disabled'

/** A person's identity here. The id is never reused; it is the `sub` of tokens. */
export type Account = {
  readonly accountId: string
  /** As it was entered: mail goes there. */
  readonly email: string
  readonly status: AccountStatus
  readonly roles: readonly string[]
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

/** What a log-in needs to know. */
export type LoginAccount = Account & {
  readonly password: StoredPassword
  /** Wrong passwords in a row. */
  readonly failedLogins: number
  readonly epoch: number
  readonly claimsEpoch: number
}

/**
 * How many wrong passwords in a row are borne before the password may not be tried any more (NIST SP 800-63B-4 section 3.2.2: fewer
 * than 100). Devices that signed in before have more, so that nobody can lock an owner out from elsewhere; and not without end, since a
 * device can be stolen. An operator resets the count by setting the account active.
 */
export const failedLoginLimit = (isKnownDevice: boolean): number => (isKnownDevice ? 99 : 50)
