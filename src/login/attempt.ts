import type { EmailAddress } from '../accounts/index.ts'
import type { RequestFacts } from '../audit/index.ts'
import type { Delivery, PresentedCookies, SessionKind } from '../sessions/index.ts'

export type LogInInput = {
  readonly email: string
  readonly password: string
  readonly kind: SessionKind
  readonly delivery: Delivery
  readonly audience: string | undefined
  readonly deviceToken: string | undefined
  /** Of the browser that is signed in with. */
  readonly presented: PresentedCookies
  readonly client: RequestFacts
}

/** One attempt, as far as it is known before anything is looked up. */
export type Attempt = {
  readonly identity: EmailAddress
  readonly password: string
  readonly client: RequestFacts
  /** The session that proves again who it belongs to; undefined at a log-in. */
  readonly sessionId: string | undefined
  /** From a valid device token: this device signed in to this address before. */
  readonly deviceId: string | undefined
  /** Wrong passwords in a row from which on this device may not try any more. */
  readonly failureLimit: number
}

/** Why an attempt was refused: for the trail only, the caller always gets `invalid_credentials`. */
export type Refusal = 'unknown_account' | 'wrong_password' | 'account_disabled' | 'password_locked'
