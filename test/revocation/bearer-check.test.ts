import { createHmac } from 'node:crypto'
import { createServer } from 'node:http'
import { exportJWK, jwtVerify } from 'jose'
import { describe, expect, onTestFinished, test } from 'vitest'
import { VerifierError } from '../../packages/verifier/src/index.ts'
import type { ReplicaState } from '../../packages/verifier/src/replica.ts'
import { AppError } from '../../src/lib/app-error.ts'
import { systemRandom } from '../../src/lib/random.ts'
import { bearerCheck, type CheckBearer, type TokenStanding } from '../../src/revocation/index.ts'
import { mintAccessToken } from '../../src/tokens/index.ts'
import { everyAlgorithm, newSigningKey, type TestKey } from '../keys/new-signing-key.ts'
import {
  clockAt,
  forge,
  goodClaims,
  issuer,
  nowMs,
  nowSeconds,
  seededNumbers,
  subject,
} from '../tokens/forged-token.ts'

const key = await newSigningKey('ES256')
const { privateKey, kid } = key.signer
const audience = 'https://api.example'
const goodHeader = { typ: 'at+jwt', alg: 'ES256', kid }

/** Nothing is revoked: what is refused here is refused for what the token says of itself. */
const nothingRevoked = {
  replica: { state: (): ReplicaState => 'FRESH', covers: () => undefined },
  stands: () => Promise.reject(new Error('asked for nothing')),
}

/** The service's check with these keys; `asked` lists the kids it looked up. */
const verifierWith = (
  keys: readonly TestKey[],
  options: { audiences?: string[]; ms?: number } = {},
) => {
  const known = new Map(keys.map(({ verificationKey }) => [verificationKey.kid, verificationKey]))
  const asked: string[] = []
  const verify = bearerCheck({
    ...nothingRevoked,
    verificationKey: (wanted) => {
      asked.push(wanted)
      return known.get(wanted)
    },
    issuer,
    audiences: options.audiences ?? [audience, issuer],
    clock: clockAt(options.ms ?? nowMs),
  })
  return { verify, asked }
}

const { verify } = verifierWith([key])

/** The hidden cause of the refusal; fails when the token is accepted or refused in any other way. */
const refusal = async (token: string, verifier: CheckBearer = verify): Promise<string> => {
  const error = await verifier(token).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error, `accepted: ${token}`).toBeInstanceOf(AppError)
  expect(error).toMatchObject({
    code: 'invalid_token',
    status: 401,
    message: 'The access token is not valid.',
    detail: undefined,
  })
  const why = error instanceof AppError ? error.cause : undefined
  expect(why).toBeInstanceOf(VerifierError)
  const reason = why instanceof Error ? (why.cause ?? why) : undefined
  return reason instanceof Error ? reason.message : ''
}

const withClaims = (changes: Record<string, unknown>): string =>
  forge(goodHeader, { ...goodClaims(), ...changes }, privateKey)

const without = (name: string): string => {
  const claims = goodClaims()
  delete claims[name]
  return forge(goodHeader, claims, privateKey)
}

describe('a good token', () => {
  test.for(everyAlgorithm)(
    'signed with %s is accepted, and its claims come back',
    async (algorithm) => {
      const own = await newSigningKey(algorithm)
      const session = subject()
      const { token, tokenId } = mintAccessToken({
        signer: () => own.signer,
        issuer,
        accessTokenSeconds: 900,
        clock: clockAt(nowMs),
        random: systemRandom,
      })(session)
      const claims = await verifierWith([own]).verify(token)
      expect(claims).toMatchObject({
        sub: session.accountId,
        sid: session.sessionId,
        jti: tokenId,
        aep: [...session.epochs],
        roles: ['reader'],
      })
    },
  )

  test('made elsewhere to the same rules is accepted, unknown claims and an audience list included', async () => {
    const token = withClaims({ aud: ['https://other.example', audience], extra: { any: 'thing' } })
    expect(await verify(token)).toMatchObject({ aud: ['https://other.example', audience] })
  })

  test('stays valid for exactly its life and 30 s of leeway', async () => {
    const token = withClaims({})
    const at = (ms: number) => verifierWith([key], { ms }).verify
    await expect(at(nowMs + 929_999)(token)).resolves.toBeDefined()
    await refusal(token, at(nowMs + 930_000))
    await expect(at(nowMs - 30_000)(token)).resolves.toBeDefined()
    await refusal(token, at(nowMs - 31_000))
  })
})

describe('the header', () => {
  const spellings = ['none', 'None', 'NONE', 'nOnE', 'none ', '', ' none', 'no\u017fne']
  const others = [
    'HS256',
    'HS384',
    'HS512',
    'hs256',
    'ES384',
    'ES512',
    'ES256K',
    'PS256',
    'RS512',
    'EdDSA',
    'es256',
    'ES256 ',
  ]

  test('R25: a token signed with none in any spelling, or any other alg, is refused before any key is used', async () => {
    const own = verifierWith([key])
    for (const alg of [...spellings, ...others, null, 1, ['ES256'], undefined]) {
      const signed = forge({ ...goodHeader, alg }, goodClaims(), privateKey)
      const unsigned = signed.slice(0, signed.lastIndexOf('.') + 1)
      await refusal(signed, own.verify)
      await refusal(unsigned, own.verify)
    }
    expect(own.asked).toEqual([])
  })

  test('R25: an HMAC made with the public key as its secret is refused', async () => {
    const input = forge({ ...goodHeader, alg: 'HS256' }, goodClaims(), privateKey)
      .split('.')
      .slice(0, 2)
      .join('.')
    const secrets = [
      key.publicKey.export({ format: 'pem', type: 'spki' }),
      key.publicKey.export({ format: 'der', type: 'spki' }),
      JSON.stringify(key.publicJwk),
    ]
    for (const secret of secrets) {
      const mac = createHmac('sha256', secret).update(input).digest('base64url')
      await refusal(`${input}.${mac}`)
    }
  })

  test('R26: a key or an address of one in the header is never used, and nothing is fetched', async () => {
    const thief = await newSigningKey('ES256')
    let requests = 0
    const server = createServer((_, response) => {
      requests += 1
      response.end(JSON.stringify({ keys: [thief.publicJwk] }))
    })
    onTestFinished(() => void server.close())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const url = `http://127.0.0.1:${port}/keys`
    await fetch(url)
    expect(requests).toBe(1)
    const jwk = await exportJWK(thief.publicKey)
    const x5c = [thief.publicKey.export({ format: 'der', type: 'spki' }).toString('base64')]
    for (const source of [{ jwk }, { jku: url }, { x5u: url }, { x5c }]) {
      for (const named of [kid, thief.signer.kid]) {
        const header = { ...goodHeader, ...source, kid: named }
        await refusal(forge(header, goodClaims(), thief.signer.privateKey))
      }
      // Even when one of our keys signed it.
      expect(await refusal(forge({ ...goodHeader, ...source }, goodClaims(), privateKey))).toBe(
        'a header with more than alg, typ and kid',
      )
    }
    expect(requests).toBe(1)
  })

  test('R27: a kid with another alg than its key has is refused', async () => {
    const keys = await Promise.all(everyAlgorithm.map(newSigningKey))
    const own = verifierWith(keys)
    for (const { signer } of keys) {
      for (const alg of everyAlgorithm.filter((name) => name !== signer.algorithm)) {
        const token = forge({ ...goodHeader, alg, kid: signer.kid }, goodClaims(), privateKey)
        expect(await refusal(token, own.verify)).toBe('alg is not that of the key')
      }
    }
  })

  test('R31: a token of any other typ is refused, and so is one without', async () => {
    const kinds = [
      'JWT',
      'jwt',
      'secevent+jwt',
      'logout+jwt',
      'statuslist+jwt',
      'mfa+jwt',
      'AT+JWT',
      'application/at+jwt',
      'at+jwt ',
      '',
      null,
      1,
      ['at+jwt'],
      undefined,
    ]
    for (const typ of kinds) {
      await refusal(forge({ ...goodHeader, typ }, goodClaims(), privateKey))
    }
  })

  test('R33: crit and b64 are refused, understood or not', async () => {
    const extras = [
      { crit: ['exp'] },
      { crit: ['unknown'], unknown: 1 },
      { crit: [] },
      { b64: false, crit: ['b64'] },
      { b64: false },
      { b64: true },
    ]
    for (const extra of extras) {
      expect(await refusal(forge({ ...goodHeader, ...extra }, goodClaims(), privateKey))).toBe(
        'a header with more than alg, typ and kid',
      )
    }
  })

  test('R33: a member named twice in the header is refused, escaped spellings too', async () => {
    const twice = [
      `{"alg":"none","typ":"at+jwt","alg":"ES256","kid":"${kid}"}`,
      `{"alg":"ES256","typ":"JWT","typ":"at+jwt","kid":"${kid}"}`,
      `{"alg":"ES256","typ":"at+jwt","kid":"x","kid":"${kid}"}`,
      `{"alg":"ES256","typ":"at+jwt","kid":"x","k\\u0069d":"${kid}"}`,
    ]
    for (const header of twice) {
      expect(await refusal(forge(header, goodClaims(), privateKey))).toMatch(/twice|escape/)
    }
  })

  test('R123: a kid that cannot be one of ours is refused without a look-up, an unknown one after it', async () => {
    const strange = [
      '',
      '__proto__',
      'constructor',
      '../../etc/passwd',
      "' OR 1=1 --",
      'a'.repeat(42),
      'a'.repeat(44),
      `${kid}\n`,
      ` ${kid}`,
      `${kid.slice(0, 42)}=`,
      null,
      7,
      [kid],
      { kid },
      undefined,
    ]
    const own = verifierWith([key])
    for (const named of strange) {
      await refusal(forge({ ...goodHeader, kid: named }, goodClaims(), privateKey), own.verify)
    }
    expect(own.asked).toEqual([])
    const unknown = 'A'.repeat(43)
    const token = forge({ ...goodHeader, kid: unknown }, goodClaims(), privateKey)
    expect(await refusal(token, own.verify)).toBe('unknown kid')
    expect(own.asked).toEqual([unknown])
  })
})

describe('the form', () => {
  const good = withClaims({})
  const [header = '', claims = '', signature = ''] = good.split('.')

  test('R32: only three non-empty parts of canonical base64url are looked at, all else is refused first', async () => {
    const own = verifierWith([key])
    const malformed = [
      '',
      '.',
      '..',
      '...',
      header,
      `${header}.${claims}`,
      `${header}.${claims}.`,
      `.${claims}.${signature}`,
      `${header}..${signature}`,
      `${good}.`,
      `.${good}`,
      `${good}.${signature}`,
      `${header}.${claims}.${signature}.${header}.${claims}`,
      `${good}=`,
      `${good}==`,
      `${header}=.${claims}.${signature}`,
      ` ${good}`,
      `${good} `,
      `${good}\n`,
      `${good}\r\n`,
      `${header}.\n${claims}.${signature}`,
      `${header}.${claims.slice(0, 8)}\n${claims.slice(8)}.${signature}`,
      `${header}.${claims.slice(0, 8)} ${claims.slice(8)}.${signature}`,
      `${good}\u0000`,
      `${good}%3D`,
      `Bearer ${good}`,
      `"${good}"`,
      JSON.stringify({ payload: claims, protected: header, signature }),
      JSON.stringify({ payload: claims, signatures: [{ protected: header, signature }] }),
      good.replaceAll('.', '。'),
      `${header}.${claims}.${'+/'.repeat(43)}`,
      `${header}.${claims}.${'é'.repeat(86)}`,
      `${header}.${claims}.${signature}AAA`,
      `${header}.${claims}.${signature}B`,
      `${header}.${claims}.A`,
      'a'.repeat(4097),
      `${header}.${'A'.repeat(1_000_000)}.${signature}`,
      '.'.repeat(4000),
    ]
    for (const token of malformed) await refusal(token, own.verify)
    expect(own.asked).toEqual([])
  })

  test('R32: loose bits at the end of a part, which jose lets through, are refused', async () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    // 64 bytes end in two characters of which the last carries 2 bits: 15 other spellings of the same signature.
    const last = alphabet.indexOf(signature.slice(-1))
    const loose = Array.from({ length: 15 }, (_, extra) => alphabet[last + extra + 1] ?? '')
    const joseAccepts: boolean[] = []
    for (const character of loose) {
      const token = `${header}.${claims}.${signature.slice(0, -1)}${character}`
      joseAccepts.push(
        await jwtVerify(token, key.verificationKey.key, { currentDate: new Date(nowMs) }).then(
          () => true,
          () => false,
        ),
      )
      expect(await refusal(token)).toBe('a signature that is not canonical base64url')
    }
    // The reason for a check of our own; when jose has become strict, this line says so.
    expect(joseAccepts).toContain(true)
  })

  test('a token with any one character changed is refused', async () => {
    const seed = 20_261_121
    const below = seededNumbers(seed)
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=~ '
    for (let place = 0; place < good.length; place += 1) {
      const character = alphabet.charAt(below(alphabet.length))
      if (character === good.charAt(place)) continue
      const changed = good.slice(0, place) + character + good.slice(place + 1)
      expect(await refusal(changed), `seed ${seed}, place ${place}`).not.toBe('')
    }
  })

  test('claims or headers that are not a JSON object in UTF-8 are refused, though signed', async () => {
    const parts = [
      '',
      'null',
      '[]',
      '1',
      '"text"',
      'true',
      '{',
      '{}',
      '{}{}',
      '\ufeff{}',
      Buffer.from([0x7b, 0xff, 0x7d]),
    ]
    for (const part of parts) {
      await refusal(forge(goodHeader, part, privateKey))
      await refusal(forge(part, goodClaims(), privateKey))
    }
    const latin1 = Buffer.from(JSON.stringify({ ...goodClaims(), acr: 'é' }), 'latin1')
    await refusal(forge(goodHeader, latin1, privateKey))
  })

  test('a signature by another key, of another text or of another length is refused', async () => {
    const other = await newSigningKey('ES256')
    await refusal(forge(goodHeader, goodClaims(), other.signer.privateKey))
    await refusal(`${header}.${withClaims({}).split('.')[1]}.${signature}`)
    await refusal(`${good}A`)
    for (const length of [0, 1, 32, 63, 65, 72, 128]) {
      await refusal(`${header}.${claims}.${Buffer.alloc(length, 1).toString('base64url')}`)
    }
    // All zero: the "psychic" signature.
    await refusal(`${header}.${claims}.${Buffer.alloc(64).toString('base64url')}`)
  })
})

describe('the claims', () => {
  test.for([
    'exp',
    'iat',
    'iss',
    'aud',
    'sub',
    'jti',
    'client_id',
    'sid',
    'aep',
    'auth_time',
    'amr',
    'acr',
    'scope',
    'roles',
  ])('R28: a validly signed token without %s is refused', async (name) => {
    expect(await refusal(without(name))).not.toBe('')
  })

  test('R29: times in the wrong place or of the wrong kind are refused', async () => {
    const wrong: Record<string, unknown>[] = [
      { exp: nowSeconds - 31, iat: nowSeconds - 900 },
      { nbf: nowSeconds + 31 },
      { nbf: String(nowSeconds) },
      { nbf: null },
      { iat: nowSeconds + 31, exp: nowSeconds + 600 },
      { exp: nowSeconds + 901 },
      { exp: nowSeconds + 315_360_000 },
      { exp: Number.MAX_SAFE_INTEGER },
      { exp: nowSeconds, iat: nowSeconds },
      { exp: nowSeconds - 10, iat: nowSeconds },
      { exp: -1 },
      { iat: -1, exp: 899 },
      { auth_time: 1.5 },
    ]
    for (const name of ['exp', 'iat']) {
      for (const value of [
        nowSeconds + 0.5,
        String(nowSeconds + 600),
        null,
        true,
        [],
        {},
        [nowSeconds],
      ]) {
        wrong.push({ [name]: value })
      }
    }
    for (const changes of wrong) await refusal(withClaims(changes))
  })

  test('R29: times that JSON can write and a number cannot hold are refused', async () => {
    const text = JSON.stringify({ ...goodClaims(), exp: 'EXP' })
    for (const exp of [
      '1e309',
      '-1e309',
      '1e400',
      '9007199254740993',
      '1e308',
      'NaN',
      'Infinity',
    ]) {
      await refusal(forge(goodHeader, text.replace('"EXP"', exp), privateKey))
    }
  })

  test('R30: a token for audience A is refused by B, and by a verifier it names only in part', async () => {
    const forA = withClaims({ aud: 'https://a.example' })
    await expect(
      verifierWith([key], { audiences: ['https://a.example'] }).verify(forA),
    ).resolves.toBeDefined()
    for (const other of [
      'https://b.example',
      'https://a.example/',
      'https://A.example',
      'https://a',
    ]) {
      await refusal(forA, verifierWith([key], { audiences: [other] }).verify)
    }
    for (const aud of [[], '', {}, null, 7, [7], [[audience]], [audience, 7]]) {
      await refusal(withClaims({ aud }))
    }
  })

  test('R30: a verifier without an audience of its own cannot be built', () => {
    expect(() => verifierWith([key], { audiences: [] })).toThrow(TypeError)
  })

  test('another issuer is refused, however alike', async () => {
    for (const iss of [
      'https://auth.example/',
      'https://AUTH.example',
      'http://auth.example',
      '',
      [issuer],
      null,
    ]) {
      await refusal(withClaims({ iss }))
    }
  })

  test('ids, epochs, roles and the rest must have their types', async () => {
    const id = 'A'.repeat(22)
    const wrong: Record<string, unknown>[] = [
      ...['sub', 'jti', 'sid'].flatMap((name) =>
        [null, 7, '', 'ada', [id], {}, `${id}A`, `${id.slice(1)}B`, `${id.slice(1)}=`].map(
          (value) => ({ [name]: value }),
        ),
      ),
      ...[
        null,
        [],
        [1, 2],
        [1, 2, 3, 4],
        [1, 2, '3'],
        [1, 2, -1],
        [1, 2, 0.5],
        [1, 2, 2 ** 53],
        '1,2,3',
        { 0: 1, 1: 2, 2: 3 },
      ].map((aep) => ({ aep })),
      ...[null, 'operator', [1], [null], {}].map((roles) => ({ roles })),
      ...[null, ['admin'], 7].map((scope) => ({ scope })),
      { client_id: 7 },
      { amr: 'pwd' },
      { acr: 1 },
    ]
    for (const changes of wrong) await refusal(withClaims(changes))
  })

  test('R33: a claim named twice is refused, though signed, escaped and nested spellings too', async () => {
    const text = JSON.stringify(goodClaims())
    const id = 'A'.repeat(22)
    const additions = [
      `"sub":"${id}"`,
      `"s\\u0075b":"${id}"`,
      '"roles":["operator"]',
      '"extra":{"a":1,"a":2}',
    ]
    for (const addition of additions) {
      const after = `${text.slice(0, -1)},${addition}}`
      const before = `{${addition},${text.slice(1)}`
      for (const claims of [after, before]) {
        expect(await refusal(forge(goodHeader, claims, privateKey))).toMatch(/twice|escape/)
      }
    }
  })

  test('R119: __proto__ and constructor.prototype in claims are refused, and nothing is polluted', async () => {
    const text = JSON.stringify(goodClaims()).slice(0, -1)
    const additions = [
      '"__proto__":{"admin":true}',
      '"__pr\\u006fto__":{"admin":true}',
      '"extra":{"__proto__":{"admin":true}}',
      '"constructor":{"prototype":{"admin":true}}',
    ]
    for (const addition of additions) {
      await refusal(forge(goodHeader, `${text},${addition}}`, privateKey))
    }
    await refusal(
      forge(
        `{"__proto__":{"alg":"ES256"},"typ":"at+jwt","kid":"${kid}"}`,
        goodClaims(),
        privateKey,
      ),
    )
    expect(Object.hasOwn(Object.prototype, 'admin')).toBe(false)
  })
})

describe('an altered signature', () => {
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

  test('R72: a token whose signature was rewritten (s to n - s) has the same jti, sid and sub', async () => {
    const token = withClaims({})
    const end = token.lastIndexOf('.')
    const raw = Buffer.from(token.slice(end + 1), 'base64url')
    const s = BigInt(`0x${raw.subarray(32).toString('hex')}`)
    const flipped = Buffer.from((order - s).toString(16).padStart(64, '0'), 'hex')
    const rewritten = Buffer.concat([raw.subarray(0, 32), flipped]).toString('base64url')
    const twin = `${token.slice(0, end)}.${rewritten}`
    expect(twin).not.toBe(token)
    // It verifies: the standard allows both. So what is revoked must be known by its claims.
    expect(await verify(twin)).toEqual(await verify(token))
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
      clock: clockAt(nowMs),
    })
    await expect(broken(withClaims({}))).rejects.toBe(fault)
  })
})

describe('what was revoked', () => {
  type World = { state: ReplicaState; covered?: 'sid'; stands?: boolean | Error }

  const checkIn = ({ state, covered, stands }: World) => {
    const asked: TokenStanding[] = []
    const check = bearerCheck({
      replica: { state: () => state, covers: () => covered },
      stands: async (standing) => {
        asked.push(standing)
        if (stands instanceof Error) throw stands
        return stands === true
      },
      verificationKey: (wanted) => (wanted === kid ? key.verificationKey : undefined),
      issuer,
      audiences: [audience],
      clock: clockAt(nowMs),
    })
    return { check, asked }
  }

  const token = withClaims({})

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
      const good = checkIn({ state, stands: true })
      const claims = await good.check(token)
      const { sub, sid, jti, aep } = claims
      expect(good.asked).toEqual([
        { sessionId: sid, accountId: sub, tokenId: jti, kid, epochs: aep, nowMs },
      ])
      const refused = { code: 'invalid_token', status: 401 }
      await expect(checkIn({ state, stands: false }).check(token)).rejects.toMatchObject(refused)
      const known = checkIn({ state, covered: 'sid', stands: true })
      await expect(known.check(token)).rejects.toMatchObject(refused)
      expect(known.asked).toEqual([])
    },
  )

  test.each(['STALE', 'LOADING'] as const)(
    'is not guessed at: while the replica is %s and Postgres is away, that is what the caller hears',
    async (state) => {
      const away = new AppError('store_unavailable', { status: 503, title: 'away' })
      await expect(checkIn({ state, stands: away }).check(token)).rejects.toBe(away)
    },
  )
})
