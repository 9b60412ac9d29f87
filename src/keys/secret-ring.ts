import { deriveBytes, type MacKey } from '../lib/signed-bytes.ts'

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
  /** MAC of the token that says "this device logged in here before". */
  device: 'cardea device',
  /** Turns ids into references for the audit trail that cannot be looked up without the secret. */
  auditReference: 'cardea audit reference',
  /** Turns addresses and e-mails into keys of rate limits. */
  limitIdentifier: 'cardea limit identifier',
  /** MAC of the address that the login page returns to. */
  returnAddress: 'cardea return address',
  /** MAC that ties the login form to the browser it was made for. */
  loginForm: 'cardea login form',
  /** The same for the logout form: a form of one kind is no form of the other. */
  logoutForm: 'cardea logout form',
} as const

type SealedLabel = `cardea sealed ${string}`

/** Encrypts the access token in the cookie of a sealed session: one key for each audience, which is shared with that web app. */
export const sealedLabel = (audience: string): SealedLabel => `cardea sealed ${audience}`

export type KeyLabel = (typeof keyLabels)[keyof typeof keyLabels] | SealedLabel

/** At least one key: the first makes, all verify. */
export type DerivedKeys = readonly [MacKey, ...MacKey[]]

export type SecretRing = {
  /** The keys of one purpose, 32 bytes each, in the order of the secrets. */
  readonly derive: (label: KeyLabel) => DerivedKeys
}

const minimumSecretBytes = 32
const keyBytes = 32

/** Not in the list of labels: nothing is ever protected with it. */
const idLabel = 'cardea secret id'

const deriveKey = (secret: string, label: KeyLabel): MacKey => ({
  // From the secret alone, so that re-ordering or removing other secrets changes no id.
  id: deriveBytes(secret, idLabel, 1).readUInt8(0),
  key: deriveBytes(secret, label, keyBytes),
})

/**
 * The values of CARDEA_SECRET. Two secrets share an id once in 256 times: whoever reads an id tries every key that has it.
 * Throws a TypeError, which never quotes a value, when there is none or one is shorter than 32 bytes of UTF-8.
 */
export const secretRing = (secrets: readonly string[]): SecretRing => {
  const [first, ...others] = new Set(secrets)
  if (first === undefined) throw new TypeError('at least one secret is needed')
  if ([first, ...others].some((secret) => Buffer.byteLength(secret) < minimumSecretBytes)) {
    throw new TypeError(`every secret must have at least ${minimumSecretBytes} bytes`)
  }
  return {
    derive: (label) => [
      deriveKey(first, label),
      ...others.map((secret) => deriveKey(secret, label)),
    ],
  }
}
