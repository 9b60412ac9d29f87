import { generateKeyPairSync } from 'node:crypto'
import { calculateJwkThumbprint, type JWK } from 'jose'
import { describe, expect, test } from 'vitest'
import { KeySetError, readKeySet } from '../../src/keys/read-key-set.ts'
import { everyAlgorithm, newKey } from '../tokens/signed-tokens.ts'

const good = await newKey()
const read = (keys: readonly unknown[]) => readKeySet(JSON.stringify({ keys }), new Map())

const refusal = async (reading: Promise<unknown>): Promise<string> => {
  const error: unknown = await reading.then(
    () => 'accepted',
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(KeySetError)
  return error instanceof KeySetError ? error.message : ''
}

/** With the kid that belongs to it, so that nothing but what the test is about is wrong. */
const withKid = async (jwk: JWK): Promise<JWK> => ({
  ...jwk,
  kid: await calculateJwkThumbprint(jwk),
})

const changed = (changes: Record<string, unknown>) => ({ ...good.jwk, ...changes })

describe('a sound key set', () => {
  test.for(everyAlgorithm)(
    'R84: with a key for %s gives that key, by its thumbprint',
    async (algorithm) => {
      const key = await newKey(algorithm)
      const keys = await read([key.jwk])
      expect(Array.from(keys.keys())).toEqual([key.kid])
      expect(keys.get(key.kid)).toMatchObject({ kid: key.kid, algorithm })
      expect(keys.get(key.kid)?.key.type).toBe('public')
      expect(keys.get(key.kid)?.key.usages).toEqual(['verify'])
    },
  )

  test('may hold keys that are not for us; they verify nothing', async () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
    const p384 = await withKid(publicKey.export({ format: 'jwk' }))
    const keys = await read([
      good.jwk,
      { ...p384, use: 'sig', alg: 'ES384' },
      changed({ use: 'enc' }),
      changed({ alg: undefined }),
    ])
    expect(Array.from(keys.keys())).toEqual([good.kid])
  })

  test('keeps the key objects that are known, so that what was verified with them stays remembered', async () => {
    const first = await read([good.jwk])
    const other = await newKey()
    const second = await readKeySet(JSON.stringify({ keys: [other.jwk, good.jwk] }), first)
    expect(second.get(good.kid)).toBe(first.get(good.kid))
    expect(second.size).toBe(2)
  })
})

describe('R89: a key set is refused as a whole', () => {
  test('when it is no set, or empty, or holds nothing that can verify', async () => {
    for (const text of [
      ...['', 'null', '[]', '{}', '{"keys":{}}', '{"keys":null}', 'not json', '<html></html>'],
    ]) {
      await refusal(readKeySet(text, new Map()))
    }
    expect(await refusal(read([]))).toBe('no key that can verify tokens')
    expect(await refusal(read([changed({ use: 'enc' })]))).toBe('no key that can verify tokens')
    for (const key of [null, 7, 'key', [good.jwk]]) await refusal(read([good.jwk, key]))
    expect(await refusal(read(Array.from({ length: 33 }, () => good.jwk)))).toContain('more than')
  })

  test('when it holds a symmetric key or any private member', async () => {
    for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']) {
      expect(await refusal(read([good.jwk, changed({ [member]: 'AAAA' })]))).toContain('private')
    }
    const oct = { kty: 'oct', k: 'c2VjcmV0', kid: 'A'.repeat(43), use: 'sig', alg: 'HS256' }
    await refusal(read([good.jwk, oct]))
    await refusal(read([good.jwk, { ...oct, k: undefined }]))
  })

  test('when two keys have one kid', async () => {
    expect(await refusal(read([good.jwk, good.jwk]))).toBe('two keys of one kid')
  })

  test('when a kid is not the thumbprint of its key', async () => {
    const other = await newKey()
    for (const kid of [undefined, '', 'key-1', other.kid, good.kid.toLowerCase(), 7]) {
      expect(await refusal(read([changed({ kid })]))).toBe('a key with a wrong kid')
    }
  })

  test('when a key does not fit its algorithm', async () => {
    const rsa = await newKey('RS256')
    const ed = await newKey('Ed25519')
    const misfits = [
      { ...rsa.jwk, alg: 'ES256' },
      { ...ed.jwk, alg: 'RS256' },
      changed({ alg: 'Ed25519' }),
      changed({ crv: 'P-384' }),
      changed({ x: undefined }),
      changed({ y: 7 }),
    ]
    for (const misfit of misfits) await refusal(read([misfit]))
  })

  test('when a key is no point of its curve', async () => {
    const { x = '', y = '' } = good.jwk
    const offCurve = await withKid({ kty: 'EC', crv: 'P-256', x: y, y: x })
    await refusal(read([{ ...offCurve, use: 'sig', alg: 'ES256' }]))
  })
})

describe('R91: a key set is refused as a whole for a key under which others can sign', () => {
  const publicJwk = (modulusLength: number) =>
    generateKeyPairSync('rsa', { modulusLength }).publicKey.export({ format: 'jwk' })

  /** The exponent as a JWK has it. */
  const exponent = (e: bigint): string => {
    const digits = e.toString(16)
    return Buffer.from(digits.padStart(digits.length + (digits.length % 2), '0'), 'hex').toString(
      'base64url',
    )
  }

  const rsa = async (changes: JWK, bare: JWK = strong) => ({
    ...(await withKid({ ...bare, ...changes })),
    use: 'sig',
    alg: 'RS256',
  })

  const strong = publicJwk(3072)

  test('an RSA key of fewer than 3072 bits', async () => {
    for (const bits of [1024, 2048, 3064]) {
      expect(await refusal(read([good.jwk, await rsa({}, publicJwk(bits))]))).toBe(
        'an RSA key of fewer than 3072 bits',
      )
    }
    expect((await read([await rsa({})])).size).toBe(1)
  })

  test.each([0n, 1n, 2n, 3n, 17n, 65_535n, 65_536n, 65_538n, 2n ** 40n])(
    'an RSA key with the exponent %s',
    async (e) => {
      await refusal(read([good.jwk, await rsa({ e: exponent(e) })]))
    },
  )

  test('and not for other odd exponents from 65537 on', async () => {
    for (const e of [65_537n, 65_539n, 2n ** 32n + 1n]) {
      expect((await read([await rsa({ e: exponent(e) })])).size, String(e)).toBe(1)
    }
  })

  /** Points of Ed25519 that are added to themselves eight times give the neutral element. */
  test.each([
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    `ee${'ff'.repeat(30)}7f`,
  ])('an Ed25519 key of small order: %s, with either sign', async (hex) => {
    for (const sign of [0, 0x80]) {
      const point = Buffer.from(hex, 'hex')
      point.writeUInt8(point.readUInt8(31) | sign, 31)
      const bare = await withKid({
        kty: 'OKP',
        crv: 'Ed25519',
        x: point.toString('base64url'),
      })
      expect(await refusal(read([good.jwk, { ...bare, use: 'sig', alg: 'Ed25519' }]))).toBe(
        'an Ed25519 key of small order',
      )
    }
  })
})
