import { createHmac, createPublicKey } from 'node:crypto'
import { forge, goodClaims, headerOf, newId, signed, type TestKey } from './signed-tokens.ts'

/** Tokens that are all to be refused, and what the hidden reason may be. Of claims that are signed and wrong: `hostile-claims.ts`. */
export type HostileTokens = { readonly reason: RegExp; readonly tokens: readonly string[] }

/** Good claims under another header. `undefined` takes a member out. */
const withHeader = (key: TestKey, changes: object): string =>
  forge(key, { ...headerOf(key), ...changes }, goodClaims())

const spellingsOfNone = ['none', 'None', 'NONE', 'nOnE', 'none ', ' none', '', 'no\u017fne']

const otherAlgorithms = [
  'HS256',
  'HS384',
  'HS512',
  'hs256',
  'ES384',
  'ES512',
  'ES256K',
  'ES256 ',
  'es256',
  'PS256',
  'RS512',
  'RSA1_5',
  'EdDSA',
  'toString',
  '__proto__',
  null,
  1,
  7,
  ['ES256'],
  undefined,
]

/** Each of them signed by the key all the same, and without any signature. */
export const withOtherAlgorithm = (key: TestKey): HostileTokens => ({
  reason: /an alg that is not allowed|a signature that is not canonical/,
  tokens: [...spellingsOfNone, ...otherAlgorithms].flatMap((alg) => {
    const token = withHeader(key, { alg })
    return [token, token.slice(0, token.lastIndexOf('.') + 1)]
  }),
})

/** What is public of the key, in every form somebody may have taken for the secret of an HMAC; and its private form. */
export const withHmacOfKey = (key: TestKey): HostileTokens => {
  const { kid: _kid, use: _use, alg: _alg, ...bare } = key.jwk
  const publicKey = createPublicKey(key.privateKey)
  const secrets = [
    publicKey.export({ type: 'spki', format: 'pem' }),
    publicKey.export({ type: 'spki', format: 'der' }),
    key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    JSON.stringify(key.jwk),
    JSON.stringify(bare),
    Buffer.from(key.jwk.x ?? '', 'base64url'),
  ]
  const input = withHeader(key, { alg: 'HS256' }).split('.', 2).join('.')
  const macWith = (secret: string | Buffer) =>
    createHmac('sha256', secret).update(input).digest('base64url')
  return {
    reason: /an alg that is not allowed/,
    tokens: secrets.map((secret) => `${input}.${macWith(secret)}`),
  }
}

const extraMember = /a header with more than alg, typ and kid/

/** Where the header says that a key is. */
export const withKeySource = (key: TestKey): HostileTokens => ({
  reason: extraMember,
  tokens: [
    { jwk: key.jwk },
    { jku: 'https://evil.example/jwks.json' },
    { x5u: 'https://evil.example/cert' },
    { x5c: ['MIIB'] },
    { x5t: 'AAAA' },
  ].map((source) => withHeader(key, source)),
})

/** Whatever else a header may say that changes how the token is read. */
export const withHeaderMember = (key: TestKey): HostileTokens => ({
  reason: extraMember,
  tokens: [
    { crit: ['exp'] },
    { crit: ['unknown'], unknown: 1 },
    { crit: [] },
    { b64: false, crit: ['b64'] },
    { b64: false },
    { b64: true },
    { cty: 'JWT' },
    { zip: 'DEF' },
    { anything: null },
  ].map((member) => withHeader(key, member)),
})

/** Each alg under the kid of a key that has another one, signed by each of the keys. */
export const withAlgorithmOfOtherKey = (keys: readonly TestKey[]): HostileTokens => ({
  reason: /alg is not that of the key/,
  tokens: keys.flatMap(({ kid, algorithm }) =>
    keys
      .filter((other) => other.algorithm !== algorithm)
      .flatMap(({ algorithm: alg }) =>
        keys.map((signer) => forge(signer, { alg, typ: 'at+jwt', kid }, goodClaims())),
      ),
  ),
})

export const withOtherType = (key: TestKey): HostileTokens => ({
  reason: /a token of another kind/,
  tokens: [
    'JWT',
    'jwt',
    'logout+jwt',
    'secevent+jwt',
    'statuslist+jwt',
    'mfa+jwt',
    'at+JWT',
    'AT+JWT',
    'application/at+jwt',
    'at+jwt ',
    '',
    null,
    1,
    ['at+jwt'],
    undefined,
  ].map((typ) => withHeader(key, { typ })),
})

/** A kid that no key of Cardea can have. */
export const withStrangeKid = (key: TestKey): HostileTokens => {
  const { kid } = key
  const kids = [
    '',
    '__proto__',
    'constructor',
    '../../etc/passwd',
    "' OR 1=1 --",
    'a'.repeat(42),
    'a'.repeat(44),
    'a'.repeat(3000),
    kid.slice(1),
    `${kid}A`,
    `${kid} `,
    `${kid}\n`,
    ` ${kid}`,
    `../${kid.slice(3)}`,
    `${kid.slice(1)}.`,
    `${kid.slice(0, 42)}=`,
    null,
    7,
    [kid],
    { kid },
    undefined,
  ]
  return {
    reason: /a kid that cannot be one|JSON with an escape|too long/,
    tokens: kids.map((named) => withHeader(key, { kid: named })),
  }
}

/** A kid as Cardea has them, which no key has. */
export const unknownKid = 'A'.repeat(43)

export const withUnknownKid = (key: TestKey): HostileTokens => ({
  reason: /unknown kid/,
  tokens: [withHeader(key, { kid: unknownKid })],
})

export const withHeaderMemberTwice = (key: TestKey): HostileTokens => {
  const good = JSON.stringify(headerOf(key))
  const { alg, typ, kid } = headerOf(key)
  const headers = [
    `{"alg":"none",${good.slice(1)}`,
    `${good.slice(0, -1)},"kid":"${kid}"}`,
    `{"alg":"none","typ":"${typ}","alg":"${alg}","kid":"${kid}"}`,
    `{"alg":"${alg}","typ":"JWT","typ":"${typ}","kid":"${kid}"}`,
    `{"alg":"${alg}","typ":"${typ}","kid":"x","kid":"${kid}"}`,
    `{"alg":"${alg}","typ":"${typ}","kid":"x","k\\u0069d":"${kid}"}`,
  ]
  return {
    reason: /twice|escape/,
    tokens: headers.map((header) => forge(key, header, goodClaims())),
  }
}

/** Another text than three parts of base64url, made of a good token. */
export const malformed = (key: TestKey): HostileTokens => {
  const good = signed(key)
  const [header = '', claims = '', signature = ''] = good.split('.')
  return {
    reason: /^(not three parts|too long|not JSON|JSON .*|a signature that is not canonical .*)$/,
    tokens: [
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
      `${good}.${header}.${claims}`,
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
    ],
  }
}

/** What a caller without a type checker may hand over. */
export const notStrings = (good: string): readonly unknown[] => [undefined, null, 7, {}, [good]]

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** 64 bytes end in two characters of which the last carries 2 bits: the 15 other spellings of the same ES256 signature. */
export const withLooseBits = (key: TestKey): HostileTokens => {
  const good = signed(key)
  const last = alphabet.indexOf(good.slice(-1))
  return {
    reason: /a signature that is not canonical base64url/,
    tokens: Array.from(
      { length: 15 },
      (_, extra) => `${good.slice(0, -1)}${alphabet.charAt(last + 1 + extra)}`,
    ),
  }
}

/** `good` with one of its characters changed, each in turn, into two others. */
export const withOneCharacterChanged = (good: string): HostileTokens => {
  const characters = `${alphabet}.=~ `
  const changed = (place: number, stride: number): string => {
    const step = 1 + ((place * stride) % (characters.length - 1))
    const now = characters.indexOf(good.charAt(place))
    const other = characters.charAt((now + step) % characters.length)
    return good.slice(0, place) + other + good.slice(place + 1)
  }
  return {
    reason: /./,
    tokens: Array.from(good).flatMap((_, place) => [changed(place, 1), changed(place, 29)]),
  }
}

/** The form is right and the signature is not: of another key, of another text, of another length. */
export const withWrongSignature = (key: TestKey, stranger: TestKey): HostileTokens => {
  const [header, claims, signature] = signed(key).split('.')
  const [, otherClaims] = signed(key, { sub: newId() }).split('.')
  const lengths = [1, 32, 63, 64, 65, 72, 128]
  return {
    reason: /signature verification failed/,
    tokens: [
      forge(stranger, headerOf(key), goodClaims()),
      `${header}.${otherClaims}.${signature}`,
      `${header}.${claims}.${signature}A`,
      // 64 zero bytes: the "psychic" signature.
      ...[0, 1].flatMap((byte) =>
        lengths.map(
          (length) => `${header}.${claims}.${Buffer.alloc(length, byte).toString('base64url')}`,
        ),
      ),
    ],
  }
}
