import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { createVerifier } from 'fast-jwt'
import { importJWK, jwtVerify } from 'jose'
import jsonwebtoken from 'jsonwebtoken'
import { issuer } from './database.ts'

/** Throws, or rejects, for an invalid token. */
export type Verify = (token: string) => unknown

const algorithms = ['ES256' as const]

/**
 * Other libraries in their usual configuration, with the key loaded. All check signature, expiry, issuer and audience; none checks
 * revocations.
 */
export const otherVerifiers = async (jwk: JsonWebKey) => {
  const checks = { issuer, audience: issuer, algorithms }
  const imported = await importJWK({ ...jwk, alg: 'ES256' })
  const keyObject = createPublicKey({ key: jwk, format: 'jwk' })
  const key = keyObject.export({ type: 'spki', format: 'pem' }).toString()
  const options = { key, algorithms, allowedIss: issuer, allowedAud: issuer }
  const fastJwt: Verify = createVerifier(options)
  const fastJwtWithCache: Verify = createVerifier({ ...options, cache: true })
  return {
    jose: async (token: string) => await jwtVerify(token, imported, checks),
    jsonwebtoken: (token: string) => jsonwebtoken.verify(token, keyObject, checks),
    fastJwt,
    fastJwtWithCache,
  }
}
