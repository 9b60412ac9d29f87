import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, importJWK, type JWK } from 'jose'
import type { SigningAlgorithm, VerificationKey } from '../../src/index.ts'

export const issuer = 'https://auth.example'
export const audience = 'https://api.example'
export const startMs = Date.UTC(2030, 0, 1, 12)
export const startSeconds = startMs / 1000

export const newId = (): string => randomBytes(16).toString('base64url')

export type TestKey = VerificationKey & { readonly privateKey: KeyObject; readonly jwk: JWK }

const makePair = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 3072 }),
  Ed25519: () => generateKeyPairSync('ed25519'),
}

export const everyAlgorithm: readonly SigningAlgorithm[] = ['ES256', 'RS256', 'Ed25519']

export const newKey = async (algorithm: SigningAlgorithm = 'ES256'): Promise<TestKey> => {
  const { privateKey, publicKey } = makePair[algorithm]()
  const bare = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(bare)
  const key = await importJWK(bare, algorithm)
  if (key instanceof Uint8Array) throw new TypeError('not a public key')
  return { kid, algorithm, key, privateKey, jwk: { ...bare, kid, use: 'sig', alg: algorithm } }
}

/** Claims as a correct issuer makes them. */
export const goodClaims = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  iss: issuer,
  sub: newId(),
  aud: audience,
  client_id: 'first-party',
  iat: startSeconds,
  exp: startSeconds + 900,
  jti: newId(),
  sid: newId(),
  aep: [1, 2, 3],
  auth_time: startSeconds - 60,
  amr: ['pwd'],
  acr: 'aal1',
  scope: 'openid profile',
  roles: ['reader'],
  ...changes,
})

type Part = object | string | Buffer

/** Text and bytes are taken as they are, so that a test can write what no serialiser would. */
const encode = (part: Part): string => {
  const isPlain = typeof part === 'string' || Buffer.isBuffer(part)
  return Buffer.from(isPlain ? part : JSON.stringify(part)).toString('base64url')
}

/** A true signature over anything, by Node's own crypto and not by the code under test. */
export const forge = (key: TestKey, header: Part, claims: Part): string => {
  const input = `${encode(header)}.${encode(claims)}`
  const digest = key.algorithm === 'Ed25519' ? null : 'sha256'
  const signature = sign(digest, Buffer.from(input), {
    key: key.privateKey,
    dsaEncoding: 'ieee-p1363',
  })
  return `${input}.${signature.toString('base64url')}`
}

export const headerOf = ({ kid, algorithm }: TestKey) => ({ alg: algorithm, typ: 'at+jwt', kid })

export const signed = (key: TestKey, changes: Record<string, unknown> = {}): string =>
  forge(key, headerOf(key), goodClaims(changes))

/** The order of P-256: with `s`, also `order - s` is a signature. */
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

/** The same ES256 token with another signature that verifies too. */
export const malleated = (token: string): string => {
  const end = token.lastIndexOf('.')
  const raw = Buffer.from(token.slice(end + 1), 'base64url')
  const s = BigInt(`0x${raw.subarray(32).toString('hex')}`)
  const flipped = Buffer.from((order - s).toString(16).padStart(64, '0'), 'hex')
  const signature = Buffer.concat([raw.subarray(0, 32), flipped])
  return `${token.slice(0, end)}.${signature.toString('base64url')}`
}
