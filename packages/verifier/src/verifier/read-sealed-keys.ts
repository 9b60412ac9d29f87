import { refuseUnknown } from '../known-members.ts'
import type { VerifierOptions } from './options.ts'

/** AES-256. */
const keyBytes = 32

const readKey = (text: unknown): Buffer => {
  const key = typeof text === 'string' ? Buffer.from(text, 'base64url') : undefined
  if (key?.length !== keyBytes || key.toString('base64url') !== text) {
    // Never quotes the text, because start-up errors end up in logs.
    throw new TypeError(
      'sealed.keys must be keys as `cardea sealed-key` prints them: 43 characters of base64url',
    )
  }
  return key
}

/**
 * Undefined when sealed tokens are not used.
 *
 * @throws {TypeError} for an invalid list of keys
 */
export const readSealedKeys = ({ sealed }: VerifierOptions): readonly Buffer[] | undefined => {
  if (sealed === undefined) return undefined
  refuseUnknown('sealed', sealed, { keys: true })
  const keys: unknown = sealed?.keys
  if (!Array.isArray(keys) || keys.length === 0) {
    throw new TypeError('sealed.keys must be a list of at least one key')
  }
  return keys.map(readKey)
}
