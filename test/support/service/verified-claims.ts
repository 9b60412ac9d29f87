import { createLocalJWKSet, decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose'
import { type Clock, systemClock } from '../../../src/lib/machine.ts'
import type { Cardea } from './cardea.ts'

/** Our own claims beside the registered ones; a test asserts their types. */
export type Claims = JWTPayload & {
  readonly sid?: string
  readonly aep?: readonly number[]
  readonly scope?: string
  readonly roles?: readonly string[]
}

/** Checks an access token as any other service would: with a library, and the keys that are served. Throws when it is not good. */
export const verifiedClaims = async (
  cardea: Cardea,
  token: string,
  { audience, clock = systemClock }: { audience?: string; clock?: Clock } = {},
): Promise<Claims> => {
  const { body: jwks } = await cardea.client.get('/.well-known/jwks.json')
  const { payload } = await jwtVerify<Claims>(token, createLocalJWKSet(jwks), {
    issuer: cardea.config.issuer,
    audience: audience ?? cardea.config.issuer,
    typ: 'at+jwt',
    algorithms: [cardea.config.signingAlgorithm],
    requiredClaims: ['exp', 'iat', 'sub', 'jti', 'client_id'],
    currentDate: new Date(clock.nowMs()),
  })
  return payload
}

export const headerOf = decodeProtectedHeader
