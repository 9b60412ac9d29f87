import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose'
import { describe, expect, test } from 'vitest'
import {
  audience,
  issuer,
  startMs,
  startSeconds,
} from '../../packages/verifier/test/tokens/signed-tokens.ts'
import { isId, systemRandom } from '../../src/lib/machine.ts'
import { mintAccessToken } from '../../src/tokens/index.ts'
import { everyAlgorithm, newSigningKey } from '../keys/new-signing-key.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { subject } from './token-subject.ts'

const key = await newSigningKey('ES256')
const dependencies = {
  signer: () => key.signer,
  issuer,
  accessTokenSeconds: 900,
  clock: fakeClock(startMs),
  random: systemRandom,
}
const mint = mintAccessToken(dependencies)

describe('a minted access token', () => {
  test('R24: has typ at+jwt, the key in its header, and every claim of the session', () => {
    const session = subject()
    const { token, expiresInSeconds, tokenId } = mint(session)
    expect(decodeProtectedHeader(token)).toEqual({
      typ: 'at+jwt',
      alg: 'ES256',
      kid: key.signer.kid,
    })
    expect(decodeJwt(token)).toEqual({
      iss: issuer,
      sub: session.subjectId,
      aud: audience,
      client_id: 'first-party',
      iat: startSeconds,
      exp: startSeconds + 900,
      jti: tokenId,
      sid: session.sessionId,
      aep: [1_893_000_000, 3, 7],
      auth_time: startSeconds - 61,
      amr: ['pwd'],
      acr: 'aal1',
      scope: 'openid',
      roles: ['reader'],
    })
    expect(expiresInSeconds).toBe(900)
  })

  test('R24: has a jti of 128 random bits, another one each time', () => {
    const session = subject()
    const ids = Array.from({ length: 200 }, () => mint(session).tokenId)
    expect(ids.every(isId)).toBe(true)
    expect(new Set(ids).size).toBe(200)
    expect(Buffer.from(ids[0] ?? '', 'base64url')).toHaveLength(16)
  })

  test('R34: says nothing personal: only the documented claims, ids opaque', () => {
    const session = { ...subject(), email: 'ada@example.com', name: 'Ada' }
    const { token } = mint(session)
    const claims = decodeJwt(token)
    expect(Object.keys(claims)).toEqual(
      'iss sub aud client_id iat exp jti sid aep auth_time amr acr scope roles'.split(' '),
    )
    expect(JSON.stringify(claims)).not.toMatch(/ada/i)
    expect(isId(String(claims.sub))).toBe(true)
  })

  test('is about 600 characters long with ES256, far below what a header line may hold', () => {
    expect(mint(subject()).token.length).toBeLessThan(700)
  })

  test('keeps whole seconds when the clock stands between two', () => {
    const session = { ...subject(), factsReadAtMs: startMs + 999 }
    const between = mintAccessToken({ ...dependencies, clock: fakeClock(startMs + 999) })
    const { token, expiresInSeconds } = between(session)
    expect(decodeJwt(token)).toMatchObject({ iat: startSeconds, exp: startSeconds + 900 })
    expect(expiresInSeconds).toBe(900)
  })

  test.each([
    [999, 900],
    [50_000, 850],
    [20 * 60_000, 0],
  ])(
    'R77: signed %s ms after its facts were read it ends when it would have ended, and says what is left',
    (lateMs, leftSeconds) => {
      const late = mintAccessToken({ ...dependencies, clock: fakeClock(startMs + lateMs) })
      const { token, expiresInSeconds } = late(subject())
      expect(decodeJwt(token)).toMatchObject({ iat: startSeconds, exp: startSeconds + 900 })
      expect(expiresInSeconds).toBe(leftSeconds)
    },
  )

  test('is signed by the key that is active at that moment', async () => {
    const keys = await Promise.all(everyAlgorithm.map(newSigningKey))
    let current = key
    const mintNow = mintAccessToken({ ...dependencies, signer: () => current.signer })
    for (const next of keys) {
      current = next
      const { token } = mintNow(subject())
      const verified = await jwtVerify(token, next.verificationKey.key, {
        currentDate: new Date(startMs),
        issuer,
        audience,
        typ: 'at+jwt',
      })
      expect(verified.protectedHeader.kid).toBe(next.signer.kid)
    }
  })

  test.for([0, -1, 901, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    'R29: a lifetime of %s seconds is refused when the service is put together',
    (accessTokenSeconds) => {
      expect(() => mintAccessToken({ ...dependencies, accessTokenSeconds })).toThrow(TypeError)
    },
  )

  test('a shorter lifetime shows in exp and in expires_in', () => {
    const short = mintAccessToken({ ...dependencies, accessTokenSeconds: 60 })
    const { token, expiresInSeconds } = short(subject())
    expect(expiresInSeconds).toBe(60)
    expect(decodeJwt(token).exp).toBe(startSeconds + 60)
  })
})
