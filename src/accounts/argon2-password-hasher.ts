import type { Random } from '../lib/random.ts'
import { accountErrors } from './errors.ts'
import type { Argon2Engine } from './password-engine.ts'
import type { PasswordHasher } from './password-hasher.ts'
import { codePointsIn, maxPasswordCodePoints, normalizePassword } from './password-text.ts'
import { type Peppers, peppersFrom } from './pepper.ts'
import {
  type Argon2Parameters,
  assertSaneCost,
  formatPhc,
  type ParsedHash,
  parsePhc,
} from './phc-string.ts'

/** OWASP's second set (Password Storage Cheat Sheet): 19 MiB and two passes; about 12 ms of CPU with `@node-rs/argon2`. */
export const defaultArgon2Parameters: Argon2Parameters = { memoryKib: 19_456, passes: 2, lanes: 1 }

const saltBytes = 16
const tagBytes = 32

export type Argon2PasswordHasherOptions = {
  readonly engine: Argon2Engine
  readonly random: Random
  /** The first makes new hashes, all verify; empty for none. */
  readonly peppers?: readonly string[]
  /** Lower than the default only in tests. */
  readonly parameters?: Argon2Parameters
}

/** The bytes that are hashed. Both sides of every comparison come through here. */
const passwordBytes = (password: string): Buffer => {
  const text = normalizePassword(password)
  // The policy says it first for a new password; this stops a sign-in with a longer one before any hashing.
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

const verifier =
  (engine: Argon2Engine, policy: Argon2Parameters, peppers: Peppers, dummy: string) =>
  async (...[password, stored]: Parameters<PasswordHasher['verify']>) => {
    const bytes = passwordBytes(password)
    if (!stored) {
      await engine.verify(dummy, bytes, peppers.current?.key)
      return { matches: false, needsRehash: false }
    }
    // Parsed before it is computed: see the limits in phc-string.ts.
    const parsed = parsePhc(stored.phc)
    const matches = await engine.verify(stored.phc, bytes, peppers.keyOf(stored.pepperId))
    const isCurrent = followsPolicy(parsed, policy) && stored.pepperId === peppers.current?.id
    return { matches, needsRehash: matches && !isCurrent }
  }

/**
 * Passwords as argon2id PHC strings (RFC 9106) with a pepper as the secret value K.
 * Throws a RangeError or TypeError at once for parameters that are refused or an empty pepper.
 */
export const argon2PasswordHasher = ({
  engine,
  random,
  peppers: secrets = [],
  parameters = defaultArgon2Parameters,
}: Argon2PasswordHasherOptions): PasswordHasher => {
  assertSaneCost(parameters)
  const peppers = peppersFrom(secrets)
  // Stands in for accounts that do not exist. No password gives this tag: it is 32 random bytes, not a hash.
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
