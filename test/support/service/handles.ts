import { type KeyLabel, keyLabels, secretRing } from '../../../src/keys/index.ts'
import { type HandleCodec, handleCodec } from '../../../src/sessions/index.ts'

/** The fields of a handle by the documented format, read without the code under test. */
export const handleFields = (text: string) => {
  const bytes = Buffer.from(text, 'base64url')
  return {
    version: bytes.readUInt8(0),
    keyId: bytes.readUInt8(1),
    sessionId: bytes.subarray(2, 18).toString('base64url'),
    generation: bytes.readUInt32BE(18),
    secret: Buffer.from(bytes.subarray(22, 54)),
    mac: Buffer.from(bytes.subarray(54)),
  }
}

/** Makes handles as somebody would who has stolen these secrets. */
export const codecOf = (
  secrets: readonly string[],
  label: KeyLabel = keyLabels.refreshHandle,
): HandleCodec => handleCodec(secretRing(secrets).derive(label))
