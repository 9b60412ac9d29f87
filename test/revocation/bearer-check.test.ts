import { createPublicKey } from 'node:crypto'
import { describe, expect, onTestFinished, test } from 'vitest'
import { VerifierError } from '../../packages/verifier/src/index.ts'
import type { ReplicaState } from '../../packages/verifier/src/replica.ts'
import {
  expired,
  mandatoryClaims,
  ofOtherParts,
  reachingPrototype,
  withClaimTwice,
  withEscape,
  withOtherIssuer,
  withoutClaim,
  withUnholdableTime,
  withWrongAudience,
  withWrongTime,
  withWrongType,
} from '../../packages/verifier/test/tokens/hostile-claims.ts'
import {
  type HostileTokens,
  malformed,
  notStrings,
  withAlgorithmOfOtherKey,
  withHeaderMember,
  withHeaderMemberTwice,
  withHmacOfKey,
  withKeySource,
  withLooseBits,
  withOtherAlgorithm,
  withOtherType,
  withStrangeKid,
  withUnknownKid,
  withWrongSignature,
} from '../../packages/verifier/test/tokens/hostile-tokens.ts'
import {
  audience,
  forge,
  goodClaims,
  headerOf,
  issuer,
  startMs as nowMs,
  signed,
  type TestKey,
} from '../../packages/verifier/test/tokens/signed-tokens.ts'
import { AppError } from '../../src/lib/app-error.ts'
import { systemRandom } from '../../src/lib/machine.ts'
import { bearerCheck, type CheckBearer, type TokenStanding } from '../../src/revocation/index.ts'
import { mintAccessToken } from '../../src/tokens/index.ts'
import { everyAlgorithm, newSigningKey } from '../keys/new-signing-key.ts'
import { fakeClock } from '../support/clocks/fake-clock.ts'
import { serveHttp } from '../support/servers/http-server.ts'
import { subject } from '../tokens/token-subject.ts'

/** Made as the service makes its own, in the shape that the verifier's forgers take. */
const newServiceKey = async (algorithm: TestKey['algorithm']) => {
  const { signer, verificationKey, publicJwk } = await newSigningKey(algorithm)
  return { ...verificationKey, privateKey: signer.privateKey, jwk: publicJwk, signer }
}

const key = await newServiceKey('ES256')
const { kid } = key

/** Nothing is revoked: what is refused here is refused for what the token says of itself. */
const nothingRevoked = {
  replica: { state: (): ReplicaState => 'FRESH', revokedBy: () => undefined },
  isTokenActive: () => Promise.reject(new Error('asked for nothing')),
}

/** The service's check with these keys; `asked` lists the kids it looked up. */
const checkWith = (
  keys: readonly TestKey[],
  options: { audiences?: string[]; ms?: number } = {},
) => {
  const known = new Map(keys.map((one) => [one.kid, one]))
  const asked: string[] = []
  const check = bearerCheck({
    ...nothingRevoked,
    verificationKey: (wanted) => {
      asked.push(wanted)
      return known.get(wanted)
    },
    issuer,
    audiences: options.audiences ?? [audience, issuer],
    clock: fakeClock(options.ms ?? nowMs),
  })
  return { check, asked }
}

const shared = checkWith([key])

/** The hidden cause of the refusal; fails when the token is accepted, refused in any other way, or told why. */
const refusalOf = async (checking: ReturnType<CheckBearer>): Promise<string> => {
  const error = await checking.then(
    (claims) => `accepted: ${JSON.stringify(claims)}`,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(AppError)
  expect(error).toMatchObject({
    code: 'invalid_token',
    status: 401,
    message: 'The access token is not valid.',
    detail: undefined,
    reason: undefined,
  })
  const why = error instanceof AppError ? error.cause : undefined
  expect(why).toBeInstanceOf(VerifierError)
  const exact = why instanceof Error ? (why.cause ?? why) : undefined
  return exact instanceof Error ? exact.message : ''
}

const expectRefused = async (
  check: CheckBearer,
  { reason, tokens }: HostileTokens,
): Promise<void> => {
  expect(tokens).not.toHaveLength(0)
  for (const token of tokens) {
    expect(await refusalOf(check(token)), token.slice(0, 1000)).toMatch(reason)
  }
}

describe('a good token', () => {
  test.for(everyAlgorithm)(
    'of our own minting, signed with %s, is accepted, and its claims come back',
    async (algorithm) => {
      const own = await newServiceKey(algorithm)
      const session = subject()
      const { token, tokenId } = mintAccessToken({
        signer: () => own.signer,
        issuer,
        accessTokenSeconds: 900,
        clock: fakeClock(nowMs),
        random: systemRandom,
      })(session)
      expect(await checkWith([own]).check(token)).toMatchObject({
        sub: session.subjectId,
        sid: session.sessionId,
        jti: tokenId,
        aep: [...session.epochs],
        roles: ['reader'],
      })
    },
  )
})

/** Each table of hostile tokens of the package, whose tests say what is asserted of it there. */
const hostile: readonly ((key: TestKey) => HostileTokens)[] = [
  ...[withOtherAlgorithm, withHmacOfKey, withKeySource, withHeaderMember, withOtherType],
  ...[withStrangeKid, withHeaderMemberTwice, malformed, withLooseBits, ofOtherParts],
  ...[withWrongTime, withUnholdableTime, withWrongAudience, withOtherIssuer, withWrongType],
  ...[withClaimTwice, withEscape, reachingPrototype],
]

describe('everything hostile to the verifier is an invalid token to the service, and nobody hears why', () => {
  test('R25, R28, R29, R30, R31, R32, R33, R119, R123: what is wrong without its signature is refused before any key is looked up', async () => {
    const { check, asked } = checkWith([key])
    for (const table of hostile) await expectRefused(check, table(key))
    for (const name of mandatoryClaims) await expectRefused(check, withoutClaim(key, name))
    await expectRefused(check, { reason: /has expired/, tokens: expired(key) })
    for (const value of notStrings(signed(key))) {
      expect(await refusalOf(Reflect.apply(check, undefined, [value]))).toBe('not a string')
    }
    expect(asked).toEqual([])
    expect(Object.hasOwn(Object.prototype, 'admin')).toBe(false)
  })

  test('R27, R123: an unknown kid, another alg than that of the key, and a wrong signature are refused', async () => {
    const keys = await Promise.all(everyAlgorithm.map(newServiceKey))
    await expectRefused(checkWith(keys).check, withAlgorithmOfOtherKey(keys))
    await expectRefused(shared.check, withUnknownKid(key))
    await expectRefused(shared.check, withWrongSignature(key, await newServiceKey('ES256')))
  })
  test('R26: nothing is fetched from where a header says that a key is', async () => {
    const thief = await newServiceKey('ES256')
    let requests = 0
    const server = await serveHttp((_, response) => {
      requests += 1
      response.end(JSON.stringify({ keys: [thief.jwk] }))
    })
    onTestFinished(server.stop)
    const url = `${server.address}/keys`
    await fetch(url)
    expect(requests).toBe(1)
    const { kid: _kid, use: _use, alg: _alg, ...jwk } = thief.jwk
    const x5c = [
      createPublicKey(thief.privateKey).export({ format: 'der', type: 'spki' }).toString('base64'),
    ]
    const tokens = [{ jwk }, { jku: url }, { x5u: url }, { x5c }].flatMap((source) => [
      forge(thief, { ...headerOf(key), ...source }, goodClaims()),
      forge(thief, { ...headerOf(thief), ...source }, goodClaims()),
      // Even when one of our keys signed it.
      forge(key, { ...headerOf(key), ...source }, goodClaims()),
    ])
    await expectRefused(shared.check, { reason: /a header with more than/, tokens })
    expect(requests).toBe(1)
  })
})

describe('a fault of ours', () => {
  test('is not reported as a bad token, which would sign the caller out', async () => {
    const fault = new Error('the key set is not loaded')
    const broken = bearerCheck({
      ...nothingRevoked,
      verificationKey: () => {
        throw fault
      },
      issuer,
      audiences: [audience],
      clock: fakeClock(nowMs),
    })
    await expect(broken(signed(key))).rejects.toBe(fault)
  })
})

describe('what was revoked', () => {
  type World = { state: ReplicaState; covered?: 'sid'; isTokenActive?: boolean | Error }

  const checkIn = ({ state, covered, isTokenActive }: World) => {
    const asked: TokenStanding[] = []
    const check = bearerCheck({
      replica: { state: () => state, revokedBy: () => covered },
      isTokenActive: async (standing) => {
        asked.push(standing)
        if (isTokenActive instanceof Error) throw isTokenActive
        return isTokenActive === true
      },
      verificationKey: (wanted) => (wanted === kid ? key : undefined),
      issuer,
      audiences: [audience],
      clock: fakeClock(nowMs),
    })
    return { check, asked }
  }

  const token = signed(key)

  test('is known to a fresh replica, and nobody else is asked', async () => {
    const good = checkIn({ state: 'FRESH' })
    await expect(good.check(token)).resolves.toMatchObject({ iss: issuer })
    const dead = checkIn({ state: 'FRESH', covered: 'sid' })
    await expect(dead.check(token)).rejects.toMatchObject({ code: 'invalid_token', status: 401 })
    expect([good.asked, dead.asked]).toEqual([[], []])
  })

  test.each(['STALE', 'LOADING'] as const)(
    'is asked of Postgres while the replica is %s, with everything that decides it, unless the replica knows it already',
    async (state) => {
      const good = checkIn({ state, isTokenActive: true })
      const claims = await good.check(token)
      expect(good.asked).toEqual([{ claims, kid, nowMs }])
      const refused = { code: 'invalid_token', status: 401 }
      await expect(checkIn({ state, isTokenActive: false }).check(token)).rejects.toMatchObject(
        refused,
      )
      const known = checkIn({ state, covered: 'sid', isTokenActive: true })
      await expect(known.check(token)).rejects.toMatchObject(refused)
      expect(known.asked).toEqual([])
    },
  )

  test.each(['STALE', 'LOADING'] as const)(
    'is not guessed at: while the replica is %s and Postgres is away, that is what the caller hears',
    async (state) => {
      const away = new AppError('store_unavailable', { status: 503, title: 'away' })
      await expect(checkIn({ state, isTokenActive: away }).check(token)).rejects.toBe(away)
    },
  )
})
