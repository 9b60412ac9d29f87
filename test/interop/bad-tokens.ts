import { createHmac, createPublicKey, sign } from 'node:crypto'
import type { Signer } from '../../src/keys/index.ts'
import { newSigningKey } from '../keys/new-signing-key.ts'

type Json = Record<string, unknown>

const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url')

export const decodePart = (token: string, place: 0 | 1): Json =>
  JSON.parse(Buffer.from(token.split('.')[place] ?? '', 'base64url').toString())

/** Any header over any claims, signed as the signer's algorithm wants it: by Node's own encoder, not by the code under test. */
const signed = ({ algorithm, privateKey }: Signer, header: object, claims: Json): string => {
  const input = `${encode(header)}.${encode(claims)}`
  const hash = algorithm === 'Ed25519' ? null : 'sha256'
  const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
  return `${input}.${sign(hash, Buffer.from(input), key).toString('base64url')}`
}

/** Signs with a key of the test's own, as a correct issuer would, but for what is changed. */
export const tokenOf = (signer: Signer, claims: Json, typ = 'at+jwt'): string =>
  signed(signer, { typ, alg: signer.algorithm, kid: signer.kid }, claims)

const withHmac = (header: object, claims: string, secret: string | Buffer): string => {
  const input = `${encode(header)}.${claims}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

/** A header over other claims, with the signature of the token. */
const withClaims = (token: string, changes: Json): string => {
  const [header, , signature] = token.split('.')
  return `${header}.${encode({ ...decodePart(token, 1), ...changes })}.${signature}`
}

/** Changes one bit in the middle, where every library must see it. */
const withOtherSignature = (token: string): string => {
  const [header, claims, text = ''] = token.split('.')
  const signature = Buffer.from(text, 'base64url')
  const middle = signature.length >> 1
  signature[middle] = (signature[middle] ?? 0) ^ 1
  return `${header}.${claims}.${signature.toString('base64url')}`
}

/** What somebody could make of a good token who has no key of the service, each with its name. */
export const badTokensFrom = async (
  token: string,
  publicJwk: Json,
): Promise<readonly (readonly [name: string, token: string])[]> => {
  const [headerPart, claimsPart = '', signature] = token.split('.')
  const header = decodePart(token, 0)
  const claims = decodePart(token, 1)
  const { signer: ownKey, publicJwk: ownJwk } = await newSigningKey('ES256')
  const { alg } = header
  const sameKind = alg === 'RS256' || alg === 'Ed25519' ? alg : 'ES256'
  const { signer: other } = await newSigningKey(sameKind)
  const publicKey = createPublicKey({ key: publicJwk, format: 'jwk' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' })
  const der = publicKey.export({ type: 'spki', format: 'der' })
  const hmac = { ...header, alg: 'HS256' }
  const bringing = { typ: 'at+jwt', alg: 'ES256', kid: ownJwk.kid, jwk: ownJwk }
  return [
    ['claims of another account', withClaims(token, { sub: 'AAAAAAAAAAAAAAAAAAAAAA' })],
    ['a later expiry', withClaims(token, { exp: Number(claims['exp']) + 3600 })],
    ['another role', withClaims(token, { roles: ['operator'] })],
    ['an altered signature', withOtherSignature(token)],
    ['no signature', `${headerPart}.${claimsPart}.`],
    ['alg none', `${encode({ ...header, alg: 'none' })}.${claimsPart}.`],
    ['alg none in another spelling', `${encode({ ...header, alg: 'nOnE' })}.${claimsPart}.`],
    [
      'alg none and a signature',
      `${encode({ ...header, alg: 'none' })}.${claimsPart}.${signature}`,
    ],
    ['HS256 with the public key as PEM', withHmac(hmac, claimsPart, pem)],
    [
      'HS256 with the public key as PEM, trimmed',
      withHmac(hmac, claimsPart, pem.toString().trim()),
    ],
    ['HS256 with the public key as DER', withHmac(hmac, claimsPart, der)],
    ['HS256 with an empty secret', withHmac(hmac, claimsPart, '')],
    ['an unknown kid', tokenOf(other, claims)],
    [
      'the kid of the service and the key of somebody else',
      tokenOf({ ...other, kid: String(header['kid']) }, claims),
    ],
    ['a key that the token brings along', signed(ownKey, bringing, claims)],
    ['no token', 'nonsense'],
    ['two parts', `${headerPart}.${claimsPart}`],
    ['nothing', ''],
  ]
}
