import type { Random } from '../lib/machine.ts'
import { deriveBytes } from '../lib/signed-bytes.ts'
import { accountErrors, type StoredPassword } from './account.ts'
import { codePointsIn, maxPasswordCodePoints, normalizePassword } from './password-policy.ts'

/** A library that computes argon2id. All give the same bytes; they differ in CPU time. */
export type Argon2Engine = {
  /** The package name. The log line of the start and `cardea doctor` show it. */
  readonly name: string
  /**
   * Returns the tag, 32 bytes of argon2id version 19. It is not a PHC string, because the libraries order its parameters differently and
   * the reference implementation accepts only one order.
   */
  readonly hash: (password: Buffer, ingredients: HashIngredients) => Promise<Buffer>
  /** Uses the parameters in the PHC string and compares in constant time. */
  readonly verify: (phc: string, password: Buffer, secret: Buffer | undefined) => Promise<boolean>
}

export type HashIngredients = {
  readonly cost: Argon2Parameters
  readonly salt: Buffer
  /** The value K of RFC 9106 section 3.1; never part of the PHC string. */
  readonly secret: Buffer | undefined
}

/** The cost of argon2id. The tag is always 32 bytes, the version always 19 (0x13). */
export type Argon2Parameters = {
  readonly memoryKib: number
  /** The number of passes over the memory. */
  readonly passes: number
  readonly lanes: number
}

export type ParsedHash = Argon2Parameters & {
  readonly saltBytes: number
  readonly tagBytes: number
}

// A stored hash contains its own cost. Somebody who can write one row could make each login to it take gigabytes or minutes. So a cost
// beyond every sensible policy is refused and never computed.
const most: Argon2Parameters = { memoryKib: 262_144, passes: 16, lanes: 16 }

const expression =
  /^\$argon2id\$v=19\$m=([1-9]\d{0,9}),t=([1-9]\d{0,9}),p=([1-9]\d{0,9})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/

/** The number of bytes in unpadded base64 of this length. */
const bytesOf = (base64: string | undefined): number => Math.floor(((base64?.length ?? 0) * 3) / 4)

/** Throws a RangeError for a cost that argon2 cannot have (RFC 9106 section 3.1) or that exceeds these limits. */
const assertSaneCost = ({ memoryKib, passes, lanes }: Argon2Parameters): void => {
  const sane =
    [memoryKib, passes, lanes].every((value) => Number.isInteger(value) && value >= 1) &&
    memoryKib >= 8 * lanes &&
    memoryKib <= most.memoryKib &&
    passes <= most.passes &&
    lanes <= most.lanes
  if (!sane) {
    throw new RangeError(
      `argon2id with m=${memoryKib} KiB, t=${passes}, p=${lanes} is refused: at most m=${most.memoryKib}, t=${most.passes}, p=${most.lanes}, at least m=8p`,
    )
  }
}

/**
 * Parses an argon2id hash in the format of `formatPhc` and the reference implementation. Throws for any other text and for a refused cost.
 * The message never contains the salt or the tag.
 */
export const parsePhc = (phc: string): ParsedHash => {
  const found = expression.exec(phc)
  if (!found) throw new Error('a stored password hash is not an argon2id PHC string of version 19')
  const [, memory, passes, lanes, salt, tag] = found
  const cost = { memoryKib: Number(memory), passes: Number(passes), lanes: Number(lanes) }
  assertSaneCost(cost)
  return { ...cost, saltBytes: bytesOf(salt), tagBytes: bytesOf(tag) }
}

/** Without padding, as PHC strings have it; `=` occurs nowhere else. */
const base64 = (bytes: Buffer): string => bytes.toString('base64').replaceAll('=', '')

export const formatPhc = (cost: Argon2Parameters, salt: Buffer, tag: Buffer): string =>
  `$argon2id$v=19$m=${cost.memoryKib},t=${cost.passes},p=${cost.lanes}$${base64(salt)}$${base64(tag)}`

/** A secret that is part of every password hash and is stored outside the database (NIST 800-63B-4 section 3.1.1.2). */
export type Pepper = {
  /** 8 characters of base64url, stored beside the hash. */
  readonly id: string
  /** 32 bytes: the secret value K of argon2 (RFC 9106 section 3.1). */
  readonly key: Buffer
}

export type Peppers = {
  /** The pepper for new hashes; `undefined` when none is configured. */
  readonly current: Pepper | undefined
  /** The key for a stored hash. Throws when it is not configured: then the password cannot be checked. */
  readonly keyOf: (id: string | undefined) => Buffer | undefined
}

const keyBytes = 32
const idBytes = 6

const pepperFrom = (secret: string): Pepper => {
  if (secret === '') throw new TypeError('a password pepper is empty')
  return {
    // Separate labels, so that the id, which everyone who reads the database sees, reveals nothing about the key.
    id: deriveBytes(secret, 'cardea password pepper id', idBytes).toString('base64url'),
    key: deriveBytes(secret, 'cardea password pepper key', keyBytes),
  }
}

/** The configured peppers. The first makes new hashes, all verify old ones. An empty list is allowed. */
export const peppersFrom = (secrets: readonly string[]): Peppers => {
  const peppers = secrets.map(pepperFrom)
  const keys = new Map(peppers.map(({ id, key }) => [id, key]))
  return {
    current: peppers[0],
    keyOf: (id) => {
      if (id === undefined) return undefined
      const key = keys.get(id)
      // Not "wrong password": that would lock everyone out with a plausible response while the cause is a missing setting.
      if (!key) throw new Error(`the password pepper with the id ${id} is not configured any more`)
      return key
    },
  }
}

const engineTagBytes = 32

// Neither library accepts `undefined` for "no secret".
const secretOption = (secret: Buffer | undefined) => (secret ? { secret } : {})

const costOptions = ({ cost, salt, secret }: HashIngredients) => ({
  memoryCost: cost.memoryKib,
  timeCost: cost.passes,
  parallelism: cost.lanes,
  salt,
  ...secretOption(secret),
})

/** The `argon2` package: the reference implementation in C, always installed. */
export const loadArgon2Package = async (): Promise<Argon2Engine> => {
  const { argon2id, hash, verify } = await import('argon2')
  return {
    name: 'argon2',
    hash: (password, ingredients) =>
      hash(password, {
        ...costOptions(ingredients),
        type: argon2id,
        hashLength: engineTagBytes,
        raw: true,
      }),
    verify: (phc, password, secret) => verify(phc, password, secretOption(secret)),
  }
}

/** The `@node-rs/argon2` package: 2-3 times less CPU for the same bytes. Its default algorithm is argon2id, version 19. */
export const loadNodeRsArgon2 = async (): Promise<Argon2Engine> => {
  const { hashRaw, verify } = await import('@node-rs/argon2')
  return {
    name: '@node-rs/argon2',
    hash: (password, ingredients) =>
      hashRaw(password, { ...costOptions(ingredients), outputLen: engineTagBytes }),
    verify: (phc, password, secret) => verify(phc, password, secretOption(secret)),
  }
}

/**
 * Loads the fastest installed argon2. `@node-rs/argon2` is an optional dependency whose binary may be missing on a platform. If it fails to
 * load, `argon2` is used, and its failure is thrown. The engine's `name` says which one was loaded.
 */
export const loadArgon2 = async (): Promise<Argon2Engine> => {
  try {
    return await loadNodeRsArgon2()
  } catch {
    return await loadArgon2Package()
  }
}

export type PasswordVerdict = {
  readonly matches: boolean
  /** The password matched, but its hash was made under an older policy or pepper. Store a new one now. */
  readonly needsRehash: boolean
}

/**
 * Hashes and checks passwords. Both methods normalise the text in the same way, and refuse text that cannot be a password (a lone
 * surrogate, too many code points) with `invalid_password`. A bounded hasher also refuses with `server_busy` before any work when too many
 * calls are waiting.
 */
export type PasswordHasher = {
  /** Hashes with the current policy and pepper and a new salt. Does not check whether the password is a good one. */
  readonly hash: (password: string) => Promise<StoredPassword>
  /**
   * Checks a password against the stored hash. Pass `undefined` for an account that does not exist: a dummy costs the same and never
   * matches, so that the time does not reveal which accounts exist. Throws a plain Error, never "does not match", when the stored hash
   * cannot be checked: it is malformed, its cost is absurd, or its pepper is no longer configured.
   */
  readonly verify: (
    password: string,
    stored: StoredPassword | undefined,
  ) => Promise<PasswordVerdict>
}

/** OWASP's second set (Password Storage Cheat Sheet): 19 MiB and two passes; about 12 ms of CPU with `@node-rs/argon2`. */
export const defaultArgon2Parameters: Argon2Parameters = { memoryKib: 19_456, passes: 2, lanes: 1 }

const saltBytes = 16
const tagBytes = 32

export type Argon2PasswordHasherOptions = {
  readonly engine: Argon2Engine
  readonly random: Random
  /** The first makes new hashes, all verify. Empty: no pepper. */
  readonly peppers?: readonly string[]
  /** Lower than the default only in tests. */
  readonly parameters?: Argon2Parameters
}

/** The bytes to hash, for both sides of every comparison. */
const passwordBytes = (password: string): Buffer => {
  const text = normalizePassword(password)
  // The policy refuses a longer new password first. This stops a login with one before any hashing.
  if (codePointsIn(text) > maxPasswordCodePoints) {
    throw accountErrors.error('invalid_password', {
      detail: `The password has more than ${maxPasswordCodePoints} characters.`,
    })
  }
  return Buffer.from(text, 'utf8')
}

const followsPolicy = (hash: ParsedHash, policy: Argon2Parameters): boolean =>
  hash.memoryKib === policy.memoryKib &&
  hash.passes === policy.passes &&
  hash.lanes === policy.lanes &&
  hash.saltBytes >= saltBytes &&
  hash.tagBytes === tagBytes

const verifier = (
  engine: Argon2Engine,
  policy: Argon2Parameters,
  peppers: Peppers,
  dummy: string,
) =>
  async function verifyPassword(...[password, stored]: Parameters<PasswordHasher['verify']>) {
    const bytes = passwordBytes(password)
    if (!stored) {
      await engine.verify(dummy, bytes, peppers.current?.key)
      return { matches: false, needsRehash: false }
    }
    // The cost must be checked before it is computed.
    const parsed = parsePhc(stored.phc)
    const matches = await engine.verify(stored.phc, bytes, peppers.keyOf(stored.pepperId))
    const isCurrent = followsPolicy(parsed, policy) && stored.pepperId === peppers.current?.id
    return { matches, needsRehash: matches && !isCurrent }
  }

/**
 * Stores passwords as argon2id PHC strings (RFC 9106) with a pepper as the secret value K. Throws a RangeError or TypeError at once for
 * refused parameters or an empty pepper.
 */
export const argon2PasswordHasher = ({
  engine,
  random,
  peppers: secrets = [],
  parameters = defaultArgon2Parameters,
}: Argon2PasswordHasherOptions): PasswordHasher => {
  assertSaneCost(parameters)
  const peppers = peppersFrom(secrets)
  // Used for accounts that do not exist. No password produces this tag, because it is 32 random bytes and not a hash.
  const dummy = formatPhc(parameters, random(saltBytes), random(tagBytes))
  return {
    hash: async (password) => {
      const bytes = passwordBytes(password)
      const salt = random(saltBytes)
      const secret = peppers.current?.key
      const tag = await engine.hash(bytes, { cost: parameters, salt, secret })
      return { phc: formatPhc(parameters, salt, tag), pepperId: peppers.current?.id }
    },
    verify: verifier(engine, parameters, peppers, dummy),
  }
}
