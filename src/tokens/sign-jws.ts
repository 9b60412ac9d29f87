import { sign } from 'node:crypto'
import type { Signer } from '../keys/index.ts'

/**
 * Signs on the main thread, with `node:crypto` and not `jose`: WebCrypto signs on the thread pool that password hashing
 * fills, where a refresh would wait behind log-ins, and takes about four times the CPU. See
 * docs/decisions/0006-signing-with-node-crypto.md. Everything that verifies stays with `jose`.
 */

const coordinateBytes = 32
const sequenceTag = 0x30
const integerTag = 0x02

/** DER writes an integer in as few bytes as it can, with a zero in front where the first bit is set: 1 to 33 bytes. */
const readCoordinate = (der: Buffer, start: number): { value: Buffer; end: number } => {
  const length = der.readUInt8(start + 1)
  const end = start + 2 + length
  const first = der.readUInt8(start + 2)
  const hasSignByte = first === 0 && length === coordinateBytes + 1
  const value = der.subarray(hasSignByte ? start + 3 : start + 2, end)
  const isPositive = first < 0x80
  const fits = value.length > 0 && value.length <= coordinateBytes && end <= der.length
  if (der.readUInt8(start) !== integerTag || !isPositive || !fits) {
    throw new TypeError('not a P-256 signature')
  }
  return { value, end }
}

/**
 * ECDSA-Sig-Value (RFC 3279 section 2.2.3) to the form of JWS: r and s, each exactly 32 bytes (RFC 7518 section 3.4).
 * Node can do it (`dsaEncoding: 'ieee-p1363'`), at twice the price of the whole signature. Throws on anything that is not a
 * DER signature over P-256, rather than sign a token that verifies nowhere.
 */
export const rawSignature = (der: Buffer): Buffer => {
  if (der.readUInt8(0) !== sequenceTag || der.readUInt8(1) !== der.length - 2) {
    throw new TypeError('not a P-256 signature')
  }
  const r = readCoordinate(der, 2)
  const s = readCoordinate(der, r.end)
  if (s.end !== der.length) throw new TypeError('not a P-256 signature')
  const raw = Buffer.alloc(2 * coordinateBytes)
  // Aligned to the right: one signature in 128 has a coordinate that is shorter than 32 bytes.
  r.value.copy(raw, coordinateBytes - r.value.length)
  s.value.copy(raw, 2 * coordinateBytes - s.value.length)
  return raw
}

const signBytes = ({ algorithm, privateKey }: Signer, input: Buffer): Buffer => {
  switch (algorithm) {
    case 'ES256':
      return rawSignature(sign('sha256', input, privateKey))
    case 'RS256':
      // RSASSA-PKCS1-v1_5 is the default for RSA keys.
      return sign('sha256', input, privateKey)
    case 'Ed25519':
      // Hashes by itself (RFC 8032).
      return sign(null, input, privateKey)
  }
}

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url')

/** The first part of each token of this signer; made once, since it is always the same. */
export const jwsHeader = ({ algorithm, kid }: Signer, typ: string): string =>
  encode({ typ, alg: algorithm, kid })

/** A JWS in compact form (RFC 7515 section 7.1); `header` as `jwsHeader` made it for the same signer. */
export const signJws = (signer: Signer, header: string, payload: object): string => {
  const input = `${header}.${encode(payload)}`
  return `${input}.${signBytes(signer, Buffer.from(input)).toString('base64url')}`
}
