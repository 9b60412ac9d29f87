import { calculateJwkThumbprint, importJWK, type JWK } from 'jose'
import type { SigningAlgorithm, VerificationKey } from '../tokens/verification-key.ts'
import { weaknessOf } from './key-strength.ts'

/** By kid. */
export type KeySet = ReadonlyMap<string, VerificationKey>

/** A key set that is not to be used, and why. */
export class KeySetError extends Error {
  override readonly name = 'KeySetError'
}

/** Cardea publishes two or three: the one that signs, the next, and one that retires. */
const maximumKeys = 32

/** Whoever publishes one of these has lost the key (RFC 7518 section 6); trusting the rest of such a set helps nobody. */
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

type Members = Readonly<Record<string, unknown>>

/** A member that must be there. */
const text = (jwk: Members, name: string): string => {
  const value = jwk[name]
  if (typeof value !== 'string') throw new KeySetError(`a key whose ${name} is missing`)
  return value
}

/** A member that can only be one thing; gives it back, so that nothing but what was checked is used. */
const is = (jwk: Members, name: string, wanted: string): string => {
  if (jwk[name] !== wanted) throw new KeySetError(`a key with a wrong ${name}`)
  return wanted
}

/** What a key of each algorithm is made of; nothing else of it is read. */
const publicMembers: Readonly<Record<SigningAlgorithm, (jwk: Members) => JWK>> = {
  ES256: (jwk) => ({
    kty: is(jwk, 'kty', 'EC'),
    crv: is(jwk, 'crv', 'P-256'),
    x: text(jwk, 'x'),
    y: text(jwk, 'y'),
  }),
  Ed25519: (jwk) => ({
    kty: is(jwk, 'kty', 'OKP'),
    crv: is(jwk, 'crv', 'Ed25519'),
    x: text(jwk, 'x'),
  }),
  RS256: (jwk) => ({ kty: is(jwk, 'kty', 'RSA'), n: text(jwk, 'n'), e: text(jwk, 'e') }),
}

const isRecord = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isAlgorithm = (value: unknown): value is SigningAlgorithm =>
  typeof value === 'string' && Object.hasOwn(publicMembers, value)

/** Undefined for a key that is sound and not for us: of an algorithm this version does not know, or not for signatures. */
const readKey = async (jwk: unknown, known: KeySet): Promise<VerificationKey | undefined> => {
  if (!isRecord(jwk)) throw new KeySetError('a key that is no object')
  const lost = privateMembers.find((name) => Object.hasOwn(jwk, name))
  if (lost !== undefined) throw new KeySetError(`a key with the private member ${lost}`)
  if (jwk['kty'] === 'oct') throw new KeySetError('a symmetric key')
  const algorithm = jwk['alg']
  if (jwk['use'] !== 'sig' || !isAlgorithm(algorithm)) return undefined
  const members = publicMembers[algorithm](jwk)
  const kid = await calculateJwkThumbprint(members, 'sha256')
  // With any other name a token could be made to fit a key that was not meant, and two keys could share one.
  is(jwk, 'kid', kid)
  const same = known.get(kid)
  // The kid is a digest of the key, so the same kid and algorithm is the same key; keeping it keeps what is remembered of its tokens.
  if (same?.algorithm === algorithm) return same
  const key = await importJWK(members, algorithm)
  // importJWK yields bytes for symmetric keys only.
  if (key instanceof Uint8Array) throw new KeySetError('a symmetric key')
  const weakness = weaknessOf({ algorithm, key }, members.x)
  if (weakness !== undefined) throw new KeySetError(weakness)
  return { kid, algorithm, key }
}

const parse = (json: string): readonly unknown[] => {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (error) {
    throw new KeySetError('not JSON', { cause: error })
  }
  if (!isRecord(value) || !Array.isArray(value['keys'])) throw new KeySetError('not a key set')
  if (value['keys'].length > maximumKeys) throw new KeySetError(`more than ${maximumKeys} keys`)
  return value['keys']
}

/**
 * A published key set (RFC 7517), as Cardea publishes it: each key for one algorithm, named by its RFC 7638 thumbprint. One bad key
 * spoils the set, since it says that whoever publishes it does not know what they do, or is not the issuer.
 *
 * `known` holds keys that were read before.
 *
 * @throws {KeySetError}
 */
export const readKeySet = async (json: string, known: KeySet): Promise<KeySet> => {
  const keys = new Map<string, VerificationKey>()
  for (const jwk of parse(json)) {
    const key = await readKey(jwk, known).catch((error: unknown) => {
      throw error instanceof KeySetError
        ? error
        : new KeySetError('a key that cannot be read', { cause: error })
    })
    if (key === undefined) continue
    if (keys.has(key.kid)) throw new KeySetError('two keys of one kid')
    keys.set(key.kid, key)
  }
  if (keys.size === 0) throw new KeySetError('no key that can verify tokens')
  return keys
}
