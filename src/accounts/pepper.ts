import { hkdfSync } from 'node:crypto'

/** A secret that goes into every password hash and is kept outside the database (NIST 800-63B-4 section 3.1.1.2). */
export type Pepper = {
  /** 8 characters of base64url, stored beside the hash. */
  readonly id: string
  /** 32 bytes: the secret value K of argon2 (RFC 9106 section 3.1). */
  readonly key: Buffer
}

export type Peppers = {
  /** What new hashes are made with; `undefined` when no pepper is configured. */
  readonly current: Pepper | undefined
  /** The key of a stored hash. Throws when it is not configured: then nobody's password can be judged. */
  readonly keyOf: (id: string | undefined) => Buffer | undefined
}

const keyBytes = 32
const idBytes = 6

// One label each: from the id, which anyone who reads the database sees, nothing about the key follows.
const derive = (secret: string, label: string, byteCount: number): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', label, byteCount))

const pepperFrom = (secret: string): Pepper => {
  if (secret === '') throw new TypeError('a password pepper is empty')
  return {
    id: derive(secret, 'cardea password pepper id', idBytes).toString('base64url'),
    key: derive(secret, 'cardea password pepper key', keyBytes),
  }
}

/** The configured peppers: the first makes new hashes, all of them verify old ones. None at all is allowed. */
export const peppersFrom = (secrets: readonly string[]): Peppers => {
  const peppers = secrets.map(pepperFrom)
  const keys = new Map(peppers.map(({ id, key }) => [id, key]))
  return {
    current: peppers[0],
    keyOf: (id) => {
      if (id === undefined) return undefined
      const key = keys.get(id)
      // Not "wrong password": that would lock everyone out with a believable answer while the cause is a lost setting.
      if (!key) throw new Error(`the password pepper with the id ${id} is not configured any more`)
      return key
    },
  }
}
