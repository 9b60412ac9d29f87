import { hkdfSync } from 'node:crypto'
import type { KeyLabel } from './labels.ts'

/** One key of one purpose; `id` names the secret it came from, in one byte, inside what the key made. */
export type DerivedKey = { readonly id: number; readonly key: Buffer }

/** At least one key: the first makes, all verify. */
export type DerivedKeys = readonly [DerivedKey, ...DerivedKey[]]

export type SecretRing = {
  /** The keys of one purpose, 32 bytes each, in the order of the secrets. */
  readonly derive: (label: KeyLabel) => DerivedKeys
}

const minimumSecretBytes = 32
const keyBytes = 32

/** Not in the list of labels: nothing is ever protected with it. */
const idLabel = 'cardea secret id'

/** HKDF-SHA-256 (RFC 5869) without salt: the secret is already as strong as a key. */
const expand = (secret: string, info: string, byteCount: number): Buffer =>
  Buffer.from(hkdfSync('sha256', Buffer.from(secret, 'utf8'), '', info, byteCount))

const deriveKey = (secret: string, label: KeyLabel): DerivedKey => ({
  // From the secret alone, so that re-ordering or removing other secrets changes no id.
  id: expand(secret, idLabel, 1).readUInt8(0),
  key: expand(secret, label, keyBytes),
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
