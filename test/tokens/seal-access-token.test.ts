import { randomBytes } from 'node:crypto'
import { calculateJwkThumbprint, compactDecrypt } from 'jose'
import { expect, test } from 'vitest'
import { secretRing } from '../../src/keys/index.ts'
import { sealAccessToken, sealedLength, sealingKeys } from '../../src/tokens/index.ts'

const secrets = [
  'the first secret, which is long enough',
  'the second secret, which is long enough',
]
const ring = secretRing(secrets)
const audience = 'https://shop.example.com'

test('a sealed token is as long as was foretold, whatever its length', async () => {
  const seal = sealAccessToken(ring)
  for (const length of [1, 2, 3, 4, 500, 501, 502, 2899, 2900]) {
    const token = randomBytes(length).toString('hex').slice(0, length)
    const sealed = await seal(token, audience)
    expect({ length, sealed: sealed.length }).toEqual({ length, sealed: sealedLength(length) })
  }
})

test('the first secret seals, and each time anew', async () => {
  const [first] = sealingKeys(ring, audience)
  const seal = sealAccessToken(ring)
  const sealed = await seal('a.b.c', audience)
  const { plaintext, protectedHeader } = await compactDecrypt(sealed, first.key)
  expect(Buffer.from(plaintext).toString()).toBe('a.b.c')
  expect(protectedHeader).toEqual({ alg: 'dir', enc: 'A256GCM', kid: first.kid, cty: 'JWT' })
  expect(await seal('a.b.c', audience)).not.toBe(sealed)
})

test('R91: each audience and each secret has a key of its own, named by its thumbprint', async () => {
  const all = [audience, `${audience}/`, 'https://api.example.com'].flatMap((one) =>
    sealingKeys(ring, one),
  )
  expect(new Set(all.map(({ key }) => key.toString('hex'))).size).toBe(6)
  for (const { kid, key } of all) {
    expect(key).toHaveLength(32)
    expect(kid).toBe(
      await calculateJwkThumbprint({ kty: 'oct', k: key.toString('base64url') }, 'sha256'),
    )
  }
})

test('a key stays the same when secrets are put in another order or taken away', () => {
  const [first, second] = sealingKeys(ring, audience)
  expect(sealingKeys(secretRing(secrets.toReversed()), audience)).toEqual([second, first])
  expect(sealingKeys(secretRing(secrets.slice(1)), audience)).toEqual([second])
})
