import { createHmac } from 'node:crypto'
import { jwtVerify } from 'jose'
import { describe, expect, test } from 'vitest'
import { checkAccessToken, VerifierError } from '../../src/index.ts'
import { checkWith, refusalOf } from './check-tokens.ts'
import {
  audience,
  everyAlgorithm,
  forge,
  goodClaims,
  headerOf,
  issuer,
  malleated,
  newId,
  newKey,
  signed,
  startMs,
  startSeconds,
} from './signed-tokens.ts'

const key = await newKey()
const { kid } = key
const goodHeader = headerOf(key)
const shared = checkWith([key])
const refused = (token: string): Promise<string> => refusalOf(shared.check(token))

describe('a good token', () => {
  test.for(everyAlgorithm)(
    'signed with %s is accepted, and its claims come back',
    async (algorithm) => {
      const own = await newKey(algorithm)
      const claims = goodClaims()
      const checked = await checkWith([own]).check(forge(own, headerOf(own), claims))
      expect(checked).toEqual({ claims, kid: own.kid })
    },
  )

  test('may name several audiences, and claims that are not known are not handed on', async () => {
    const aud = ['https://other.example', audience]
    const { claims } = await shared.check(signed(key, { aud, extra: { any: 'thing' } }))
    expect(claims.aud).toEqual(aud)
    expect(claims).not.toHaveProperty('extra')
  })

  test('is valid for exactly its life and 30 s of leeway on both sides', async () => {
    const { check, clock } = checkWith([key])
    const token = signed(key)
    clock.now = startMs + 929_999
    await expect(check(token)).resolves.toBeDefined()
    clock.now = startMs + 930_000
    await refusalOf(check(token), 'token_expired')
    clock.now = startMs - 30_000
    await expect(check(token)).resolves.toBeDefined()
    clock.now = startMs - 30_001
    await refusalOf(check(token))
  })

  test('gives claims that no caller can change for the next one', async () => {
    const token = signed(key, { aud: [audience] })
    const { claims } = await shared.check(token)
    for (const value of [claims, claims.aud, claims.aep, claims.amr, claims.roles]) {
      expect(Object.isFrozen(value)).toBe(true)
    }
    expect(() => Object.assign(claims, { sub: newId() })).toThrow(TypeError)
    expect((await shared.check(token)).claims).toBe(claims)
  })
})

describe('the header', () => {
  const spellings = ['none', 'None', 'NONE', 'nOnE', 'none ', '', 'no\u017fne', null, 7, ['ES256']]
  const others = [
    'HS256',
    'HS384',
    'HS512',
    'hs256',
    'ES384',
    'ES512',
    'ES256K',
    'PS256',
    'EdDSA',
    'es256',
    'RSA1_5',
    'toString',
    '__proto__',
  ]

  test('R25: a token signed with none in any spelling, HS* or anything not allowed is refused before any key is used', async () => {
    const { check, asked } = checkWith([key])
    for (const alg of [...spellings, ...others]) {
      const token = forge(key, { ...goodHeader, alg }, goodClaims())
      await refusalOf(check(token))
      await refusalOf(check(`${token.slice(0, token.lastIndexOf('.'))}.`))
    }
    expect(asked).toEqual([])
  })

  test('R25: the public key used as an HMAC secret forges nothing', async () => {
    const secrets = [
      key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      JSON.stringify(key.jwk),
      Buffer.from(key.jwk.x ?? '', 'base64url'),
    ]
    for (const secret of secrets) {
      const input = forge(key, { ...goodHeader, alg: 'HS256' }, goodClaims())
        .split('.', 2)
        .join('.')
      const mac = createHmac('sha256', secret).update(input).digest('base64url')
      await refused(`${input}.${mac}`)
    }
  })

  test('R26: R33: a header with jwk, jku, x5u, x5c, crit, b64 or anything else not known is refused before any key is used', async () => {
    const { check, asked } = checkWith([key])
    const additions = [
      { jwk: key.jwk },
      { jku: 'https://evil.example/jwks.json' },
      { x5u: 'https://evil.example/cert' },
      { x5c: ['MIIB'] },
      { x5t: 'AAAA' },
      { crit: ['exp'] },
      { crit: [] },
      { b64: false },
      { b64: true },
      { cty: 'JWT' },
      { zip: 'DEF' },
      { anything: null },
    ]
    for (const addition of additions) {
      expect(await refusalOf(check(forge(key, { ...goodHeader, ...addition }, goodClaims())))).toBe(
        'a header with more than alg, typ and kid',
      )
    }
    expect(asked).toEqual([])
  })

  test('R27: a key is used with its own algorithm only', async () => {
    const rsa = await newKey('RS256')
    const { check } = checkWith([key, rsa])
    const mixed = forge(rsa, { ...headerOf(rsa), kid }, goodClaims())
    expect(await refusalOf(check(mixed))).toBe('alg is not that of the key')
    const renamed = forge(key, { ...goodHeader, kid: rsa.kid }, goodClaims())
    expect(await refusalOf(check(renamed))).toBe('alg is not that of the key')
  })

  test('R31: a token of another kind is refused, however its type is spelt', async () => {
    const kinds = [
      'JWT',
      'jwt',
      'logout+jwt',
      'secevent+jwt',
      'statuslist+jwt',
      'at+JWT',
      'AT+JWT',
      'application/at+jwt',
      'at+jwt ',
      '',
      null,
      ['at+jwt'],
      undefined,
    ]
    for (const typ of kinds) {
      expect(await refused(forge(key, { ...goodHeader, typ }, goodClaims()))).toBe(
        'a token of another kind',
      )
    }
  })

  test('R123: a kid that cannot be one is not even looked up, and an unknown one is refused', async () => {
    const { check, asked } = checkWith([key])
    const strange = [
      undefined,
      null,
      7,
      '',
      kid.slice(1),
      `${kid}A`,
      `${kid} `,
      `../${kid.slice(3)}`,
      `${kid.slice(1)}.`,
      '__proto__',
      'a'.repeat(3000),
      [kid],
    ]
    for (const named of strange)
      await refusalOf(check(forge(key, { ...goodHeader, kid: named }, goodClaims())))
    expect(asked).toEqual([])
    const unknown = 'A'.repeat(43)
    expect(await refusalOf(check(forge(key, { ...goodHeader, kid: unknown }, goodClaims())))).toBe(
      'unknown kid',
    )
    expect(asked).toEqual([unknown])
  })
})

describe('the form', () => {
  const good = signed(key)
  const [header = '', claims = '', signature = ''] = good.split('.')

  test('R32: R117: only three non-empty parts of canonical base64url are looked at, all else is refused first', async () => {
    const { check, asked } = checkWith([key])
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
      `${good}.${claims}.${signature}`,
      `${good}=`,
      `${good}==`,
      `${header}=.${claims}.${signature}`,
      ` ${good}`,
      `${good} `,
      `${good}\n`,
      `${good}\r\n`,
      `${good}\u0000`,
      `${good}%3D`,
      `${header}.\n${claims}.${signature}`,
      `${header}.${claims.slice(0, 8)}\n${claims.slice(8)}.${signature}`,
      `${header}.${claims.slice(0, 8)} ${claims.slice(8)}.${signature}`,
      `Bearer ${good}`,
      `"${good}"`,
      good.replaceAll('.', '。'),
      JSON.stringify({ payload: claims, protected: header, signature }),
      JSON.stringify({ payload: claims, signatures: [{ protected: header, signature }] }),
      `${header}.${claims}.${'+/'.repeat(43)}`,
      `${header}.${claims}.${'é'.repeat(86)}`,
      `${header}.${claims}.${signature}AAA`,
      `${header}.${claims}.${signature}B`,
      `${header}.${claims}.A`,
      'a'.repeat(4097),
      `${header}.${'A'.repeat(1_000_000)}.${signature}`,
      '.'.repeat(4000),
      '\ud800'.repeat(10),
    ]
    for (const token of malformed) await refusalOf(check(token))
    expect(asked).toEqual([])
  })

  test('a token that is no string is refused like any other', async () => {
    for (const value of [undefined, null, 7, {}, [good]]) {
      await refusalOf(Reflect.apply(shared.check, undefined, [value]))
    }
  })

  test('R32: loose bits at the end of the signature, which jose lets through, are refused', async () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    // 64 bytes end in two characters of which the last carries 2 bits: 15 other spellings of the same signature.
    const last = alphabet.indexOf(signature.slice(-1))
    const joseAccepts: boolean[] = []
    for (let extra = 1; extra <= 15; extra += 1) {
      const token = `${header}.${claims}.${signature.slice(0, -1)}${alphabet.charAt(last + extra)}`
      const verifying = jwtVerify(token, key.key, { currentDate: new Date(startMs) })
      joseAccepts.push(
        await verifying.then(
          () => true,
          () => false,
        ),
      )
      expect(await refused(token)).toContain('not canonical')
    }
    // The reason for a check of our own; when jose has become strict, this line says so.
    expect(joseAccepts).toContain(true)
  })

  test('a token with any one character changed is refused, also after the right one was remembered', async () => {
    const { check } = checkWith([key])
    await check(good)
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=~ '
    for (let place = 0; place < good.length; place += 1) {
      const character = alphabet.charAt(
        (alphabet.indexOf(good.charAt(place)) + 1 + place) % alphabet.length,
      )
      if (character === good.charAt(place)) continue
      const changed = good.slice(0, place) + character + good.slice(place + 1)
      expect(await refusalOf(check(changed)), `place ${place}`).not.toBe('')
    }
  })

  test('claims or headers that are not a JSON object in UTF-8 are refused, though signed', async () => {
    const latin1 = Buffer.from(JSON.stringify(goodClaims({ acr: 'é' })), 'latin1')
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
      latin1,
    ]
    for (const part of parts) {
      await refused(forge(key, goodHeader, part))
      await refused(forge(key, part, goodClaims()))
    }
  })

  test('JSON nested as deep as a token allows is refused and nothing breaks', async () => {
    const deep = `{"extra":${'['.repeat(1400)}${']'.repeat(1400)}}`
    await refused(forge(key, goodHeader, deep))
  })

  test('a signature by another key, of another text or of another length is refused', async () => {
    const other = await newKey()
    await refused(forge(other, goodHeader, goodClaims()))
    await refused(`${header}.${signed(key).split('.')[1]}.${signature}`)
    // 64 zero bytes: the "psychic" signature.
    for (const length of [1, 32, 63, 64, 65, 72, 128]) {
      await refused(`${header}.${claims}.${Buffer.alloc(length).toString('base64url')}`)
    }
  })
})

describe('the claims', () => {
  const mandatory = [
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
  ]

  test.for(mandatory)('R28: a validly signed token without %s is refused', async (name) => {
    const claims = goodClaims()
    delete claims[name]
    expect(await refused(forge(key, goodHeader, claims))).toBe(
      `claim ${name} is missing or of the wrong type`,
    )
  })

  test('R29: times in the wrong place or of the wrong kind are refused', async () => {
    const now = startSeconds
    const wrong: Record<string, unknown>[] = [
      { nbf: now + 31 },
      { nbf: String(now) },
      { nbf: null },
      { iat: now + 31, exp: now + 600 },
      { exp: now + 901 },
      { exp: now + 315_360_000 },
      { exp: Number.MAX_SAFE_INTEGER },
      { exp: now },
      { exp: now - 10 },
      { exp: -1 },
      { iat: -1, exp: 899 },
      { auth_time: 1.5 },
      ...['exp', 'iat'].flatMap((name) =>
        [now + 0.5, String(now + 600), null, true, [], {}, [now]].map((value) => ({
          [name]: value,
        })),
      ),
    ]
    for (const changes of wrong) await refused(signed(key, changes))
    await refusalOf(shared.check(signed(key, { exp: now - 30, iat: now - 900 })), 'token_expired')
  })

  test('R29: times that JSON can write and a number cannot hold are refused', async () => {
    const text = JSON.stringify(goodClaims({ exp: 'EXP' }))
    const numbers = [
      '1e309',
      '-1e309',
      '1e400',
      '9007199254740993',
      '1e308',
      'NaN',
      'Infinity',
      `${startSeconds + 600}.0`,
      '-0',
    ]
    for (const exp of numbers) await refused(forge(key, goodHeader, text.replace('"EXP"', exp)))
  })

  test('R30: a token for audience A is refused by B, and by a verifier it names only in part', async () => {
    const forA = signed(key, { aud: 'https://a.example' })
    await expect(
      checkWith([key], { audiences: ['https://a.example'] }).check(forA),
    ).resolves.toBeDefined()
    for (const other of [
      'https://b.example',
      'https://a.example/',
      'https://A.example',
      'https://a',
    ]) {
      expect(await refusalOf(checkWith([key], { audiences: [other] }).check(forA))).toBe(
        'for another audience',
      )
    }
    for (const aud of [[], '', {}, null, 7, [7], [[audience]], [audience, 7]])
      await refused(signed(key, { aud }))
  })

  test('R30: a check without an audience cannot be built, nor one with a senseless size', () => {
    const options = {
      issuer,
      audiences: [audience],
      keyOf: () => undefined,
      clock: { nowMs: () => 0 },
    }
    expect(() => checkAccessToken({ ...options, audiences: [] })).toThrow(TypeError)
    for (const maxCachedTokens of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => checkAccessToken({ ...options, maxCachedTokens })).toThrow(TypeError)
    }
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
      await refused(signed(key, { iss }))
    }
  })

  test('ids, epochs, roles and the rest must have their types', async () => {
    const id = newId()
    const wrong: Record<string, unknown>[] = [
      ...['sub', 'jti', 'sid'].flatMap((name) =>
        [null, 7, '', 'ada', [id], {}, `${id}A`, `${id.slice(0, 21)}B`, `${id.slice(0, 21)}=`].map(
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
    for (const changes of wrong) await refused(signed(key, changes))
  })

  test('R33: a claim named twice is refused, though signed, escaped and nested spellings too', async () => {
    const text = JSON.stringify(goodClaims())
    const additions = [
      `"sub":"${newId()}"`,
      `"s\\u0075b":"${newId()}"`,
      '"roles":["operator"]',
      '"extra":{"a":1,"a":2}',
    ]
    for (const addition of additions) {
      for (const claims of [`${text.slice(0, -1)},${addition}}`, `{${addition},${text.slice(1)}`]) {
        await refused(forge(key, goodHeader, claims))
      }
    }
    const header = JSON.stringify(goodHeader)
    for (const twice of [
      `{"alg":"none",${header.slice(1)}`,
      `${header.slice(0, -1)},"kid":"${kid}"}`,
    ]) {
      expect(await refused(forge(key, twice, goodClaims()))).toContain('twice')
    }
  })

  test('texts with escapes are refused: lone surrogates and NUL cannot come through', async () => {
    for (const acr of ['\ud800', 'a\u0000b', 'a\nb', '"', '\\']) {
      expect(await refused(signed(key, { acr }))).toBe('JSON with an escape')
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
    for (const addition of additions) await refused(forge(key, goodHeader, `${text},${addition}}`))
    const header = `{"__proto__":{"alg":"ES256"},"typ":"at+jwt","kid":"${kid}"}`
    await refused(forge(key, header, goodClaims()))
    expect(Object.hasOwn(Object.prototype, 'admin')).toBe(false)
  })
})

describe('a refusal', () => {
  test('says the same to everyone and holds nothing of the token', async () => {
    const marker = 'marker-of-this-token'
    const tokens = [
      signed(key, { acr: 7, client_id: marker }),
      signed(key, { iss: marker }),
      forge(key, { ...goodHeader, [marker]: 1 }, goodClaims()),
      `${marker}.${marker}.${marker}`,
    ]
    for (const token of tokens) {
      const error: unknown = await shared.check(token).catch((reason: unknown) => reason)
      expect(error).toMatchObject({ message: 'The access token is not valid.' })
      const cause =
        error instanceof VerifierError && error.cause instanceof Error ? error.cause : undefined
      expect(`${cause?.message} ${cause?.stack}`).not.toContain(marker)
    }
  })

  test('R103: a fault of the key source is not reported as a bad token, which would sign the user out', async () => {
    const fault = new Error('the key set is not loaded')
    const { check } = checkWith([key], {
      keyOf: () => {
        throw fault
      },
    })
    await expect(check(signed(key))).rejects.toBe(fault)
    const slow = checkWith([key], { keyOf: () => Promise.reject(fault) })
    await expect(slow.check(signed(key))).rejects.toBe(fault)
  })

  test('R72: a token whose signature was rewritten (s to n - s) is the same token, by its ids', async () => {
    const token = signed(key)
    const twin = malleated(token)
    expect(twin).not.toBe(token)
    // It verifies: the standard allows both. So what is revoked must be known by its claims.
    expect(await shared.check(twin)).toEqual(await shared.check(token))
  })
})
