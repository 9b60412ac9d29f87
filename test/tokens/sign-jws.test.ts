import { sign, verify } from 'node:crypto'
import { compactVerify, decodeProtectedHeader } from 'jose'
import { describe, expect, test } from 'vitest'
import { jwsHeader, rawSignature, signJws } from '../../src/tokens/mint-access-token.ts'
import { everyAlgorithm, newSigningKey } from '../keys/new-signing-key.ts'

const es256 = await newSigningKey('ES256')

/** Verified by a second implementation beside jose: OpenSSL through `node:crypto`, given the raw r and s. */
const nodeVerifies = (token: string, key: typeof es256): boolean => {
  const end = token.lastIndexOf('.')
  const input = Buffer.from(token.slice(0, end))
  const signature = Buffer.from(token.slice(end + 1), 'base64url')
  const hash = key.signer.algorithm === 'Ed25519' ? null : 'sha256'
  return verify(hash, input, { key: key.publicKey, dsaEncoding: 'ieee-p1363' }, signature)
}

const der = (...integers: readonly string[]): Buffer => {
  const body = integers.map((hex) => {
    const bytes = Buffer.from(hex, 'hex')
    return Buffer.concat([Buffer.of(2, bytes.length), bytes])
  })
  const content = Buffer.concat(body)
  return Buffer.concat([Buffer.of(0x30, content.length), content])
}

describe('a signed JWS', () => {
  test.for(everyAlgorithm)('of %s is verified by jose and by node:crypto', async (algorithm) => {
    const key = await newSigningKey(algorithm)
    const payload = { text: 'Grüße, 世界' }
    const token = signJws(key.signer, jwsHeader(key.signer, 'at+jwt'), payload)
    expect(decodeProtectedHeader(token)).toEqual({
      typ: 'at+jwt',
      alg: algorithm,
      kid: key.signer.kid,
    })
    const verified = await compactVerify(token, key.verificationKey.key, {
      algorithms: [algorithm],
    })
    expect(JSON.parse(Buffer.from(verified.payload).toString())).toEqual(payload)
    expect(nodeVerifies(token, key)).toBe(true)
    const [header, , signature] = token.split('.')
    const changed = `${header}.${Buffer.from('{"text":""}').toString('base64url')}.${signature}`
    expect(nodeVerifies(changed, key)).toBe(false)
  })

  test('10,000 ES256 signatures, those with a short r or s among them, verify with both', async () => {
    const failed: string[] = []
    let short = 0
    for (let round = 0; round < 10_000; round += 1) {
      const token = signJws(es256.signer, jwsHeader(es256.signer, 'at+jwt'), { round })
      const raw = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url')
      const hasShortCoordinate = raw[0] === 0 || raw[32] === 0
      if (hasShortCoordinate) short += 1
      if (raw.length !== 64 || !nodeVerifies(token, es256)) failed.push(token)
      // jose is slower: every signature that needed padding, and one in eight of the others.
      if (hasShortCoordinate || round % 8 === 0) {
        await compactVerify(token, es256.verificationKey.key).catch(() => failed.push(token))
      }
    }
    expect(failed).toEqual([])
    // One in 128; to see none in 10,000 has a chance of 1 in 10^34.
    expect(short).toBeGreaterThan(0)
  })
})

describe('the raw form of a DER signature', () => {
  const full = 'a'.repeat(62)
  test.for([
    ['one byte each', '01', '02', '01', '02'],
    [
      '31 bytes',
      `11${full.slice(2)}`,
      `12${full.slice(2)}`,
      `11${full.slice(2)}`,
      `12${full.slice(2)}`,
    ],
    ['32 bytes', `7f${full}`, `01${full}`, `7f${full}`, `01${full}`],
    ['a sign byte before 32', `00ff${full}`, `0080${full}`, `ff${full}`, `80${full}`],
    ['a sign byte before fewer', '0080', '00ff', '80', 'ff'],
    ['one short, one long', '05', `00ff${full}`, '05', `ff${full}`],
  ] as const)('keeps the values right-aligned: %s', ([, r, s, rawR, rawS]) => {
    const expected = rawR.padStart(64, '0') + rawS.padStart(64, '0')
    expect(rawSignature(der(r, s)).toString('hex')).toBe(expected)
  })

  test.for([
    ['nothing', Buffer.alloc(0)],
    ['an empty sequence', der()],
    ['one integer', der('01')],
    ['three integers', der('01', '02', '03')],
    ['an empty integer', der('', '01')],
    ['a value over 32 bytes', der(`01ff${full}`, '01')],
    ['a value over 33 bytes', der(`0000ff${full}`, '01')],
    ['a negative value', der(`80${full}`, '01')],
    ['bytes at the end', Buffer.concat([der('01', '02'), Buffer.of(0)])],
    ['a cut end', der('01', '02').subarray(0, -1)],
    ['another type', Buffer.from(der('01', '02')).fill(0x31, 0, 1)],
    ['a value of another type', Buffer.from(der('01', '02')).fill(0x04, 2, 3)],
  ] as const)('is refused for %s', ([, bytes]) => {
    expect(() => rawSignature(bytes)).toThrow()
  })

  test('a cut signature never passes, at any length', () => {
    const whole = sign('sha256', Buffer.from('text'), es256.signer.privateKey)
    for (let length = 0; length < whole.length; length += 1) {
      expect(() => rawSignature(whole.subarray(0, length))).toThrow()
    }
  })
})
