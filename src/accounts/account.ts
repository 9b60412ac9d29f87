import { defineErrors } from '../lib/app-error.ts'

/** The stored form of a password. Neither part is a credential by itself. */
export type StoredPassword = {
  /** The hash as a PHC string: scheme, parameters, salt and tag. */
  readonly phc: string
  /** The id (not the key) of the pepper in the hash. `undefined`: no pepper. */
  readonly pepperId: string | undefined
}

export type AccountStatus = 'active' | 'disabled'

/** A user's identity in this service. The id is never reused; it is the `sub` of tokens. */
export type Account = {
  readonly accountId: string
  /** As entered. Mail is sent to it. */
  readonly email: string
  readonly status: AccountStatus
  readonly roles: readonly string[]
  readonly createdAtMs: number
  readonly updatedAtMs: number
}

/** The facts that a login needs. */
export type LoginAccount = Account & {
  readonly password: StoredPassword
  /** Wrong passwords in a row from unknown devices. */
  readonly failedLogins: number
  readonly epoch: number
  readonly globalEpoch: number
  readonly claimsEpoch: number
}

/** With the failures of the requesting device. */
export type AccountForLogin = LoginAccount & {
  /** Wrong passwords in a row from that device; 0 without a device. */
  readonly deviceFailures: number
}

/** Errors about an account, its e-mail address or its password. */
export const accountErrors = defineErrors({
  invalid_email: { status: 400, title: 'The e-mail address cannot be used.' },
  invalid_password: { status: 400, title: 'The password is not valid text.' },
  password_rejected: { status: 400, title: 'The new password does not meet the policy.' },
  account_not_found: { status: 404, title: 'There is no such account.' },
  account_exists: { status: 409, title: 'An account with this e-mail address exists already.' },
  server_busy: { status: 503, title: 'The server is busy; try again shortly.' },
})
