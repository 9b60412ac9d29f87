import Type from 'typebox'
import { problemResponses } from '../http/problem.ts'

const publicJwk = Type.Object({
  kty: Type.String(),
  kid: Type.String({ description: 'RFC 7638 thumbprint of the key' }),
  use: Type.Literal('sig'),
  alg: Type.String({ description: 'the one algorithm this key may be used with' }),
  crv: Type.Optional(Type.String()),
  x: Type.Optional(Type.String()),
  y: Type.Optional(Type.String()),
  n: Type.Optional(Type.String()),
  e: Type.Optional(Type.String()),
})

export const jwksSchema = {
  operationId: 'getJwks',
  summary: 'The public keys that verify access tokens (RFC 7517)',
  response: {
    200: {
      description: 'All keys that may have signed a token that is still valid, and the next one',
      content: {
        'application/jwk-set+json': { schema: Type.Object({ keys: Type.Array(publicJwk) }) },
      },
    },
    304: { description: 'The copy named by If-None-Match is still current', type: 'null' },
    ...problemResponses(503),
  },
}
