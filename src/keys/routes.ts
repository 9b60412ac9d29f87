import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { isNotModified, type JwksDocument } from './jwks.ts'
import { jwksSchema } from './schemas.ts'

/**
 * Verifiers ask again after five minutes. While Cardea is away they may go on for an hour with the keys they have; not longer,
 * or a key that was withdrawn in an emergency would live on wherever Cardea cannot be reached.
 */
const cacheControl = 'public, max-age=300, stale-while-revalidate=60, stale-if-error=3600'

/** Else the framework adds a charset, which JSON does not have (RFC 8259 section 11). */
const asItIs = (body: string): string => body

const answer = (
  request: FastifyRequest,
  reply: FastifyReply,
  { body, etag }: JwksDocument,
): FastifyReply => {
  reply.header('cache-control', cacheControl).header('etag', etag)
  if (isNotModified(request.headers['if-none-match'], etag)) return reply.code(304).send()
  return reply.type('application/jwk-set+json').serializer(asItIs).send(body)
}

/** `currentJwks` gives a promise only when the keys must be read first: a promise for each answer would cost more than the answer. */
export const keyRoutes =
  (currentJwks: () => JwksDocument | Promise<JwksDocument>) =>
  (app: FastifyInstance): void => {
    app.get(
      '/.well-known/jwks.json',
      { schema: jwksSchema, config: { access: 'public', publicDocument: true, timeless: true } },
      (request, reply) => {
        const jwks = currentJwks()
        if (jwks instanceof Promise) return jwks.then((read) => answer(request, reply, read))
        return answer(request, reply, jwks)
      },
    )
  }
