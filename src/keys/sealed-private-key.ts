import { createCipheriv, createDecipheriv, createPrivateKey, type KeyObject } from 'node:crypto'
import type { Random } from '../lib/machine.ts'
import type { MacKey } from '../lib/signed-bytes.ts'
import type { DerivedKeys } from './secret-ring.ts'

/**
 * The stored form of a private key: key id 1 B | nonce 12 B | AES-256-GCM ciphertext of the PKCS #8 DER | tag 16 B. The kid is
 * authenticated with it, so that no row can get the private key of another.
 */
const algorithm = 'aes-256-gcm'
const nonceStart = 1
const nonceBytes = 12
const ciphertextStart = nonceStart + nonceBytes
const tagBytes = 16

/**
 * No configured secret decrypts the signing keys. The start fails: new keys would log everybody out and leave tokens behind that cannot be
 * revoked by key.
 */
export class WrongKeyEncryptionKey extends Error {
  constructor(kid: string) {
    super(`the signing keys were sealed with another CARDEA_SECRET (first seen at key ${kid})`)
    this.name = 'WrongKeyEncryptionKey'
  }
}

/** Encrypts with the first key. A random nonce is safe here, because a deployment makes some dozens of keys a year, not 2^32. */
export const sealPrivateKey = (
  kid: string,
  privateKey: KeyObject,
  sealingKeys: DerivedKeys,
  random: Random,
): Buffer => {
  const [{ id, key }] = sealingKeys
  const nonce = random(nonceBytes)
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  cipher.setAAD(Buffer.from(kid))
  return Buffer.concat([
    Buffer.of(id),
    nonce,
    cipher.update(privateKey.export({ format: 'der', type: 'pkcs8' })),
    cipher.final(),
    cipher.getAuthTag(),
  ])
}

const openWith = ({ key }: MacKey, kid: string, sealed: Buffer): Buffer | undefined => {
  const nonce = sealed.subarray(nonceStart, ciphertextStart)
  const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes })
  decipher.setAAD(Buffer.from(kid))
  decipher.setAuthTag(sealed.subarray(-tagBytes))
  const start = decipher.update(sealed.subarray(ciphertextStart, -tagBytes))
  try {
    return Buffer.concat([start, decipher.final()])
  } catch {
    // The tag does not match: another secret, another kid, or altered bytes. `start` must not be used.
    return undefined
  }
}

/** Throws `WrongKeyEncryptionKey` when no secret of the ring decrypts it, also for truncated or altered bytes. */
export const unsealPrivateKey = (
  kid: string,
  sealed: Buffer,
  sealingKeys: DerivedKeys,
): KeyObject => {
  if (sealed.length > ciphertextStart + tagBytes) {
    const id = sealed.readUInt8(0)
    for (const candidate of sealingKeys.filter((key) => key.id === id)) {
      const der = openWith(candidate, kid, sealed)
      if (der !== undefined) return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    }
  }
  throw new WrongKeyEncryptionKey(kid)
}
