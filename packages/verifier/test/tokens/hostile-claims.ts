import type { HostileTokens } from './hostile-tokens.ts'
import {
  audience,
  forge,
  goodClaims,
  headerOf,
  issuer,
  newId,
  signed,
  startSeconds,
  type TestKey,
} from './signed-tokens.ts'

/** Claims, or the text of them, that Cardea never writes, under a true signature. */
const claiming = (key: TestKey, parts: readonly (string | Buffer)[]): readonly string[] =>
  parts.map((part) => forge(key, headerOf(key), part))

const changing = (key: TestKey, changes: readonly Record<string, unknown>[]): readonly string[] =>
  changes.map((change) => signed(key, change))

/** The same claim with each of these values. */
const claimOf = (name: string, values: readonly unknown[]): readonly Record<string, unknown>[] =>
  values.map((value) => ({ [name]: value }))

const wrongType = /claim \w+ is missing or of the wrong type/

export const mandatoryClaims = [
  ...['exp', 'iat', 'iss', 'aud', 'sub', 'jti', 'client_id', 'sid', 'aep', 'auth_time', 'amr'],
  ...['acr', 'scope', 'roles'],
]

export const withoutClaim = (key: TestKey, name: string): HostileTokens => ({
  reason: new RegExp(`claim ${name} is missing or of the wrong type`),
  tokens: [signed(key, { [name]: undefined })],
})

/** Past their end, leeway included: a verifier has a code of its own for that. */
export const expired = (key: TestKey): readonly string[] =>
  changing(key, [
    { exp: startSeconds - 30, iat: startSeconds - 900 },
    { exp: startSeconds - 31, iat: startSeconds - 900 },
  ])

export const withWrongTime = (key: TestKey): HostileTokens => {
  const now = startSeconds
  const notTimes = [now + 0.5, String(now + 600), null, true, [], {}, [now]]
  return {
    reason:
      /claim \w+ is missing|a lifetime that is never given|issued in the future|not valid yet/,
    tokens: changing(key, [
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
      ...claimOf('exp', notTimes),
      ...claimOf('iat', notTimes),
    ]),
  }
}

/** Times that JSON can write and a number cannot hold, or that have another spelling. */
export const withUnholdableTime = (key: TestKey): HostileTokens => {
  const text = JSON.stringify(goodClaims({ exp: 'EXP' }))
  const times = [
    ...['1e309', '-1e309', '1e400', '9007199254740993', '1e308', 'NaN', 'Infinity'],
    ...[`${startSeconds + 600}.0`, '-0'],
  ]
  return {
    reason: /not JSON|JSON or base64url of another spelling/,
    tokens: claiming(
      key,
      times.map((exp) => text.replace('"EXP"', exp)),
    ),
  }
}

/** Not `https://a.example`, however alike. */
export const audiencesLikeA = [
  'https://b.example',
  'https://a.example/',
  'https://A.example',
  'https://a',
]

export const withWrongAudience = (key: TestKey): HostileTokens => ({
  reason: /for another audience|claim aud is missing or of the wrong type/,
  tokens: changing(key, claimOf('aud', [[], '', {}, null, 7, [7], [[audience]], [audience, 7]])),
})

export const withOtherIssuer = (key: TestKey): HostileTokens => ({
  reason: /of another issuer|claim iss is missing or of the wrong type/,
  tokens: changing(
    key,
    claimOf('iss', [
      'https://auth.example/',
      'https://AUTH.example',
      'http://auth.example',
      '',
      [issuer],
      null,
    ]),
  ),
})

export const withWrongType = (key: TestKey): HostileTokens => {
  const id = newId()
  const notIds = [
    null,
    7,
    '',
    'ada',
    [id],
    {},
    `${id}A`,
    `${id.slice(0, 21)}B`,
    `${id.slice(0, 21)}=`,
  ]
  const notEpochs = [
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
  ]
  return {
    reason: wrongType,
    tokens: changing(key, [
      ...['sub', 'jti', 'sid'].flatMap((name) => claimOf(name, notIds)),
      ...claimOf('aep', notEpochs),
      ...claimOf('roles', [null, 'operator', [1], [null], {}]),
      ...claimOf('scope', [null, ['admin'], 7]),
      { client_id: 7 },
      { amr: 'pwd' },
      { acr: 1 },
    ]),
  }
}

/** Before and after the claims that are right: readers differ in which of the two they take. */
export const withClaimTwice = (key: TestKey): HostileTokens => {
  const text = JSON.stringify(goodClaims())
  const additions = [
    `"sub":"${newId()}"`,
    `"s\\u0075b":"${newId()}"`,
    '"roles":["operator"]',
    '"extra":{"a":1,"a":2}',
  ]
  return {
    reason: /twice|escape/,
    tokens: claiming(
      key,
      additions.flatMap((addition) => [
        `${text.slice(0, -1)},${addition}}`,
        `{${addition},${text.slice(1)}`,
      ]),
    ),
  }
}

/** Lone surrogates, NUL and whatever else JSON writes with a backslash. */
export const withEscape = (key: TestKey): HostileTokens => ({
  reason: /JSON with an escape/,
  tokens: changing(key, claimOf('acr', ['\ud800', 'a\u0000b', 'a\nb', '"', '\\'])),
})

/** In claims and in a header; `admin` shows on `Object.prototype` when one of them got through. */
export const reachingPrototype = (key: TestKey): HostileTokens => {
  const text = JSON.stringify(goodClaims()).slice(0, -1)
  const additions = [
    '"__proto__":{"admin":true}',
    '"__pr\\u006fto__":{"admin":true}',
    '"extra":{"__proto__":{"admin":true}}',
    '"constructor":{"prototype":{"admin":true}}',
  ]
  const header = `{"__proto__":{"alg":"ES256"},"typ":"at+jwt","kid":"${key.kid}"}`
  return {
    reason: /JSON with a member name that is not allowed|JSON with an escape/,
    tokens: [
      ...claiming(
        key,
        additions.map((addition) => `${text},${addition}}`),
      ),
      forge(key, header, goodClaims()),
    ],
  }
}

/** As claims and as a header: what is not an object in JSON in UTF-8, or nested as deep as a token allows. */
export const ofOtherParts = (key: TestKey): HostileTokens => {
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
    Buffer.from(JSON.stringify(goodClaims({ acr: 'é' })), 'latin1'),
    `{"extra":${'['.repeat(1400)}${']'.repeat(1400)}}`,
  ]
  return {
    reason:
      /^(not JSON|too long|JSON or base64url of .*|claims that are no object|claim \w+ is missing .*|a header that is no object|an alg that is not allowed)$/,
    tokens: [...claiming(key, parts), ...parts.map((part) => forge(key, part, goodClaims()))],
  }
}
