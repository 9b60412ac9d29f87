import { generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { SigningAlgorithm } from './signing-key.ts'

const generate = promisify(generateKeyPair)

/** NIST SP 800-57 part 1 puts 3072 bits at the strength of P-256; 2048 is too little for keys made from now on. */
const rsaModulusBits = 3072

type KeyPair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject }

const makers: Readonly<Record<SigningAlgorithm, () => Promise<KeyPair>>> = {
  ES256: () => generate('ec', { namedCurve: 'P-256' }),
  RS256: () => generate('rsa', { modulusLength: rsaModulusBits }),
  Ed25519: () => generate('ed25519'),
}

/** From OpenSSL's CSPRNG, off the main thread; RSA takes up to some seconds. */
export const generateSigningKeyPair = (algorithm: SigningAlgorithm): Promise<KeyPair> =>
  makers[algorithm]()
