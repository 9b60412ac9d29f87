import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { problemResponses } from '../http/errors.ts'
import { defineRoute, type Route } from '../http/route.ts'
import type { PublicJwk } from './signing-key.ts'

/** The published key set, serialized once because it is requested far more often than it changes. */
export type JwksDocument = {
  /** A string, which Node sends together with the headers in one piece; a buffer would be a second one. */
  readonly body: string
  /** Strong (RFC 9110 section 8.8.3): equal on all processes that publish the same bytes. */
  readonly etag: string
}

/** Keeps the order of `keys`. */
export const jwksDocument = (keys: readonly PublicJwk[]): JwksDocument => {
  const body = JSON.stringify({ keys })
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url')}"` }
}

const entityTag = /(?:W\/)?("[^"]*")/g

/**
 * Whether an If-None-Match header contains this document's tag (RFC 9110 section 13.1.2). The comparison is weak: a compressing proxy turns
 * the tag into `W/"…"`, and the client still has the same keys.
 */
export const isNotModified = (ifNoneMatch: string | undefined, etag: string): boolean => {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch.trim() === '*') return true
  return Array.from(ifNoneMatch.matchAll(entityTag)).some(([, opaque]) => opaque === etag)
}

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

const jwksSchema = {
  operationId: 'getJwks',
  summary: 'The public keys that verify access tokens (RFC 7517)',
  response: {
    200: {
      description: 'All keys that may have signed a token that is still valid, and the next one',
      content: {
        'application/jwk-set+json': { schema: Type.Object({ keys: Type.Array(publicJwk) }) },
      },
    },
    304: { description: 'The version in If-None-Match is still current', type: 'null' },
    ...problemResponses(503),
  },
}

/**
 * Verifiers refetch after five minutes. While Cardea is unreachable they may use the keys for an hour. A longer time would keep a key alive
 * that was withdrawn in an emergency, wherever Cardea cannot be reached.
 */
const cacheControl = 'public, max-age=300, stale-while-revalidate=60, stale-if-error=3600'

/** Otherwise Fastify adds a charset, which JSON does not have (RFC 8259 section 11). */
const asItIs = (body: string): string => body

const respond = (
  request: FastifyRequest,
  reply: FastifyReply,
  { body, etag }: JwksDocument,
): FastifyReply => {
  reply.header('cache-control', cacheControl).header('etag', etag)
  if (isNotModified(request.headers['if-none-match'], etag)) return reply.code(304).send()
  return reply.type('application/jwk-set+json').serializer(asItIs).send(body)
}

/** `currentJwks` returns a promise only when the keys must be read first: a promise for each response would cost more than the response. */
export const keyRoutes = (currentJwks: () => JwksDocument | Promise<JwksDocument>): Route[] => [
  defineRoute({
    method: 'GET',
    path: '/.well-known/jwks.json',
    access: 'public',
    publicDocument: true,
    timeless: true,
    schema: jwksSchema,
    handler: (request, reply) => {
      const jwks = currentJwks()
      if (jwks instanceof Promise) return jwks.then((read) => respond(request, reply, read))
      return respond(request, reply, jwks)
    },
  }),
]
