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
const sealed = sealPrivateKey(kid, privateKey, sealingKeys('old'), systemRandom)

describe('a sealed private key', () => {
  test('sealing twice uses two nonces', () => {
    const again = sealPrivateKey(kid, privateKey, sealingKeys('old'), systemRandom)
    expect(again.subarray(1, 13)).not.toEqual(sealed.subarray(1, 13))
    expect(again.subarray(13)).not.toEqual(sealed.subarray(13))
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

  test('of two secrets with the same id both are tried', () => {
    const [{ id, key }] = sealingKeys('old')
    const twin = { id, key: Buffer.alloc(32, 7) }
    expect(unsealPrivateKey(kid, sealed, [twin, { id, key }]).equals(privateKey)).toBe(true)
  })
})
