import { describe, expect, test } from 'vitest'
import {
  sealPrivateKey,
  unsealPrivateKey,
  WrongKeyEncryptionKey,
} from '../../src/keys/sealed-private-key.ts'
import { type DerivedKeys, keyLabels, secretRing } from '../../src/keys/secret-ring.ts'
import { generateSigningKeyPair } from '../../src/keys/signing-key.ts'
import { systemRandom } from '../../src/lib/machine.ts'

const sealingKeys = (...secrets: string[]): DerivedKeys =>
  secretRing(secrets.map((secret) => secret.padEnd(32, '.'))).derive(keyLabels.keySeal)

const kid = 'k'.repeat(43)
const { privateKey } = await generateSigningKeyPair('ES256')
const der = privateKey.export({ format: 'der', type: 'pkcs8' })
const sealed = sealPrivateKey(kid, privateKey, sealingKeys('old'), systemRandom)

describe('a sealed private key', () => {
  test('opens again with the same secret', () => {
    const opened = unsealPrivateKey(kid, sealed, sealingKeys('old'))
    expect(opened.equals(privateKey)).toBe(true)
  })

  test('R90: what is stored holds no part of the private key in plain form', () => {
    // The scalar of a P-256 key stands at a fixed place of its PKCS #8 form.
    const scalar = der.subarray(36, 68)
    expect(privateKey.export({ format: 'jwk' }).d).toBe(scalar.toString('base64url'))
    expect(sealed.includes(scalar)).toBe(false)
    expect(sealed.includes(der.subarray(0, 16))).toBe(false)
    expect(sealed).toHaveLength(1 + 12 + der.length + 16)
  })

  test('sealing twice uses two nonces', () => {
    const again = sealPrivateKey(kid, privateKey, sealingKeys('old'), systemRandom)
    expect(again.subarray(1, 13)).not.toEqual(sealed.subarray(1, 13))
    expect(again.subarray(13)).not.toEqual(sealed.subarray(13))
  })

  test('R90: it does not open under another secret', () => {
    expect(() => unsealPrivateKey(kid, sealed, sealingKeys('other'))).toThrow(WrongKeyEncryptionKey)
  })

  test('R90: it does not open as the key of another kid', () => {
    expect(() => unsealPrivateKey('j'.repeat(43), sealed, sealingKeys('old'))).toThrow(
      WrongKeyEncryptionKey,
    )
  })

  test('R90: it does not open with any byte changed, or cut at any length', () => {
    for (let place = 0; place < sealed.length; place += 1) {
      const changed = Buffer.from(sealed)
      changed.writeUInt8(changed.readUInt8(place) ^ 1, place)
      expect(() => unsealPrivateKey(kid, changed, sealingKeys('old'))).toThrow(
        WrongKeyEncryptionKey,
      )
      expect(() => unsealPrivateKey(kid, sealed.subarray(0, place), sealingKeys('old'))).toThrow(
        WrongKeyEncryptionKey,
      )
    }
  })

  test('after the secret was rolled it opens while the old one is still listed, and no longer', () => {
    expect(unsealPrivateKey(kid, sealed, sealingKeys('new', 'old')).equals(privateKey)).toBe(true)
    expect(() => unsealPrivateKey(kid, sealed, sealingKeys('new'))).toThrow(WrongKeyEncryptionKey)
  })

  test('of two secrets with the same id both are tried', () => {
    const [{ id, key }] = sealingKeys('old')
    const twin = { id, key: Buffer.alloc(32, 7) }
    expect(unsealPrivateKey(kid, sealed, [twin, { id, key }]).equals(privateKey)).toBe(true)
  })

  test('the message tells the operator what to look at, and no secret', () => {
    expect(() => unsealPrivateKey(kid, sealed, sealingKeys('other'))).toThrow(
      `the signing keys were sealed with another CARDEA_SECRET (first seen at key ${kid})`,
    )
  })
})
