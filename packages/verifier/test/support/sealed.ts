import { randomBytes } from 'node:crypto'
import { CompactEncrypt, calculateJwkThumbprint } from 'jose'

export type SealedKey = { readonly kid: string; readonly bytes: Buffer; readonly text: string }

/** A key as Cardea derives one for an audience. */
export const newSealedKey = async (): Promise<SealedKey> => {
  const bytes = randomBytes(32)
  const text = bytes.toString('base64url')
  return { bytes, text, kid: await calculateJwkThumbprint({ kty: 'oct', k: text }) }
}

export const sealedHeaderOf = ({ kid }: Pick<SealedKey, 'kid'>) => ({
  alg: 'dir',
  enc: 'A256GCM',
  kid,
  cty: 'JWT',
})

/** The value of the cookie, made by the library and not by the code under test; `null` leaves a member of the header out. */
export const seal = (
  token: string,
  key: SealedKey,
  changes: Readonly<Record<string, unknown>> = {},
): Promise<string> => {
  const header = { ...sealedHeaderOf(key), ...changes }
  const kept = Object.entries(header).filter(([, value]) => value !== null)
  return new CompactEncrypt(Buffer.from(token))
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', ...Object.fromEntries(kept) })
    .encrypt(key.bytes)
}
