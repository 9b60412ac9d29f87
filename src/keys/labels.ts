/**
 * Every purpose a key is derived from CARDEA_SECRET for. One purpose, one label, one key: what leaks or is forged
 * in one place is worth nothing in another. A label never changes: it is part of what was made with it.
 */
export const keyLabels = {
  /** MAC of refresh tokens. */
  refreshHandle: 'cardea handle refresh',
  /** MAC of session cookies: a refresh token can never be passed off as one. */
  sessionHandle: 'cardea handle session',
  /** MAC of the copies of sessions in Redis. */
  sessionCopy: 'cardea session copy',
  /** Encrypts the private signing keys at rest. */
  keySeal: 'cardea key seal',
  /** MAC of the token that says "this device signed in here before". */
  device: 'cardea device',
  /** Turns ids into references for the audit trail that cannot be looked up without the secret. */
  auditReference: 'cardea audit reference',
  /** Turns addresses and e-mails into keys of rate limits. */
  limitIdentifier: 'cardea limit identifier',
  /** MAC of the address that the login page returns to. */
  returnAddress: 'cardea return address',
  /** MAC that ties the login form to the browser it was made for. */
  loginForm: 'cardea login form',
} as const

type SealedLabel = `cardea sealed ${string}`

/** Encrypts the access token in the cookie of a sealed session: one key for each audience, which is shared with that web app. */
export const sealedLabel = (audience: string): SealedLabel => `cardea sealed ${audience}`

export type KeyLabel = (typeof keyLabels)[keyof typeof keyLabels] | SealedLabel
