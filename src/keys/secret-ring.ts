import { deriveBytes, type MacKey } from '../lib/signed-bytes.ts'

/**
 * Every purpose for which a key is derived from CARDEA_SECRET. Each purpose has its own label and key, so that a leaked key is useless for
 * the others. A label never changes, because it is part of what was made with it.
 */
export const keyLabels = {
  /** MAC of refresh tokens. */
  refreshHandle: 'cardea handle refresh',
  /** MAC of session cookies. It differs from that of refresh tokens, so neither is accepted as the other. */
  sessionHandle: 'cardea handle session',
  /** MAC of the cached sessions in Redis. */
  sessionCopy: 'cardea session copy',
  /** Encrypts the private signing keys at rest. */
  keySeal: 'cardea key seal',
  /** MAC of the device token, which says "this device logged in here before". */
  device: 'cardea device',
  /** Turns ids into references in the audit trail that cannot be reversed without the secret. */
  auditReference: 'cardea audit reference',
  /** Turns IP addresses and e-mail addresses into keys of rate limits. */
  limitIdentifier: 'cardea limit identifier',
  /** MAC of the return address of the login page. */
  returnAddress: 'cardea return address',
  /** MAC that binds the login form to its browser. */
  loginForm: 'cardea login form',
  /** The same for the logout form. Neither form is accepted as the other. */
  logoutForm: 'cardea logout form',
} as const

type SealedLabel = `cardea sealed ${string}`

/** Encrypts the access token in the cookie of a sealed session. One key for each audience, shared with that web app. */
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

/** Not in the list of labels, because it protects nothing. */
const idLabel = 'cardea secret id'

const deriveKey = (secret: string, label: KeyLabel): MacKey => ({
  // Derived from the secret alone, so that reordering or removing other secrets changes no id.
  id: deriveBytes(secret, idLabel, 1).readUInt8(0),
  key: deriveBytes(secret, label, keyBytes),
})

/**
 * The values of CARDEA_SECRET. Two secrets have the same id with a probability of 1/256, so readers try every key with the id. Throws a
 * TypeError, which never quotes a value, when there is none or one is shorter than 32 bytes of UTF-8.
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
