import { calculateJwkThumbprint, importJWK, type JWK } from 'jose'
import type { SigningAlgorithm, VerificationKey } from '../tokens/verification-key.ts'
import { weaknessOf } from './key-strength.ts'

/** By kid. */
export type KeySet = ReadonlyMap<string, VerificationKey>

/** Why a key set must not be used. */
export class KeySetError extends Error {
  override readonly name = 'KeySetError'
}

/** Cardea publishes two or three: the active, the next, and a retiring one. */
const maximumKeys = 32

/** A publisher of one of these has leaked the private key (RFC 7518 section 6), so the rest of the set is not trusted either. */
const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

type Members = Readonly<Record<string, unknown>>

/** A required member. */
const text = (jwk: Members, name: string): string => {
  const value = jwk[name]
  if (typeof value !== 'string') throw new KeySetError(`a key whose ${name} is missing`)
  return value
}

/** A member with only one valid value. Returns it, so that only checked values are used. */
const is = (jwk: Members, name: string, wanted: string): string => {
  if (jwk[name] !== wanted) throw new KeySetError(`a key with a wrong ${name}`)
  return wanted
}

/** The members of a key of each algorithm. Others are not read. */
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

/** Undefined for a valid key that is not used here: its algorithm is unknown to this version, or it is not for signatures. */
const readKey = async (jwk: unknown, known: KeySet): Promise<VerificationKey | undefined> => {
  if (!isRecord(jwk)) throw new KeySetError('a key that is no object')
  const lost = privateMembers.find((name) => Object.hasOwn(jwk, name))
  if (lost !== undefined) throw new KeySetError(`a key with the private member ${lost}`)
  if (jwk['kty'] === 'oct') throw new KeySetError('a symmetric key')
  const algorithm = jwk['alg']
  if (jwk['use'] !== 'sig' || !isAlgorithm(algorithm)) return undefined
  const members = publicMembers[algorithm](jwk)
  const kid = await calculateJwkThumbprint(members, 'sha256')
  // With another name a token could select a key that was not meant for it, and two keys could share a name.
  is(jwk, 'kid', kid)
  const same = known.get(kid)
  // The kid is a digest of the key, so equal kid and algorithm mean the same key. Reusing the object keeps the cached signatures of its
  // tokens.
  if (same?.algorithm === algorithm) return same
  const key = await importJWK(members, algorithm)
  // importJWK returns bytes for symmetric keys only.
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
 * Reads a published key set (RFC 7517) as Cardea publishes it: each key has one algorithm and its RFC 7638 thumbprint as name. One invalid
 * key makes the whole set invalid, because its publisher has a fault or is not the issuer.
 *
 * `known` contains keys that were read before.
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
