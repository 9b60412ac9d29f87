import { type KeyObject, sign } from 'node:crypto'
import { newId } from '../../src/lib/id.ts'
import { systemRandom } from '../../src/lib/random.ts'
import type { TokenSubject } from '../../src/tokens/index.ts'

export const issuer = 'https://auth.example'
export const nowMs = Date.UTC(2030, 0, 1, 12)
export const nowSeconds = nowMs / 1000

/** A clock that a test sets. */
export const clockAt = (ms: number) => {
  const clock = { now: ms, nowMs: () => clock.now, monotonicMs: () => clock.now }
  return clock
}

export const subject = (changes: Partial<TokenSubject> = {}): TokenSubject => ({
  accountId: newId(systemRandom),
  sessionId: newId(systemRandom),
  clientId: 'first-party',
  audience: 'https://api.example',
  scope: 'openid',
  roles: ['reader'],
  authenticatedAtMs: nowMs - 60_500,
  amr: ['pwd'],
  acr: 'aal1',
  epochs: [1_893_000_000, 3, 7],
  ...changes,
})

/** Claims as a correct issuer would make them. */
export const goodClaims = (): Record<string, unknown> => ({
  iss: issuer,
  sub: newId(systemRandom),
  aud: 'https://api.example',
  client_id: 'first-party',
  iat: nowSeconds,
  exp: nowSeconds + 900,
  jti: newId(systemRandom),
  sid: newId(systemRandom),
  aep: [1, 2, 3],
  auth_time: nowSeconds - 60,
  amr: ['pwd'],
  acr: 'aal1',
  scope: '',
  roles: [],
})

/** Text is taken as it is, so that a test can write JSON that no serialiser would. */
const encode = (part: object | string | Buffer): string => {
  const plain = typeof part === 'string' || Buffer.isBuffer(part)
  return Buffer.from(plain ? part : JSON.stringify(part)).toString('base64url')
}

/** An ES256 signature over anything: by Node's own encoder, not by the code under test. */
export const forge = (
  header: object | string | Buffer,
  claims: object | string | Buffer,
  privateKey: KeyObject,
): string => {
  const input = `${encode(header)}.${encode(claims)}`
  const signature = sign('sha256', Buffer.from(input), {
    key: privateKey,
    dsaEncoding: 'ieee-p1363',
  })
  return `${input}.${signature.toString('base64url')}`
}

/** Small, fast and repeatable (mulberry32): the seed is in the message of whatever fails. */
export const seededNumbers = (seed: number): ((below: number) => number) => {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}
