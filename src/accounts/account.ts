import { defineErrors } from '../lib/app-error.ts'

/** What is kept of a password. Both parts are stored; neither is a secret that opens anything by itself. */
export type StoredPassword = {
  /** The hash as a PHC string: scheme, parameters, salt and tag. */
  readonly phc: string
  /** Which pepper went into the hash, an id and not the key; `undefined` when none did. */
  readonly pepperId: string | undefined
}

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

/** What a login needs to know. */
export type LoginAccount = Account & {
  readonly password: StoredPassword
  /** Wrong passwords in a row, from devices that are not known. */
  readonly failedLogins: number
  readonly epoch: number
  readonly globalEpoch: number
  readonly claimsEpoch: number
}

/** With how often the device that asks has failed. */
export type AccountForLogin = LoginAccount & {
  /** Wrong passwords in a row from that device; 0 when none is named. */
  readonly deviceFailures: number
}

/** Why something asked of an account, its e-mail address or its password was refused. */
export const accountErrors = defineErrors({
  invalid_email: { status: 400, title: 'The e-mail address cannot be used.' },
  invalid_password: { status: 400, title: 'The password is not valid text.' },
  password_rejected: { status: 400, title: 'The new password does not meet the policy.' },
  account_not_found: { status: 404, title: 'There is no such account.' },
  account_exists: { status: 409, title: 'An account with this e-mail address exists already.' },
  server_busy: { status: 503, title: 'The server is busy; try again shortly.' },
})
