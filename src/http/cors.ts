import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

/** Seconds a browser may remember a preflight's answer. */
const preflightMaxAgeSeconds = 600

const isPreflight = (request: FastifyRequest): boolean =>
  request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined

const answerPreflight = (reply: FastifyReply, methods: string): void => {
  reply
    .headers({
      'access-control-allow-methods': methods,
      'access-control-allow-headers': 'authorization, content-type, if-match',
      'access-control-max-age': preflightMaxAgeSeconds,
    })
    .code(204)
    .send()
}

/**
 * Which pages may read answers: those of the listed origins, with credentials; any page for public documents, without.
 * Everyone else gets no `Access-Control-*` header at all. By hand, because @fastify/cors 11.4.3 with a list still sends
 * `Access-Control-Allow-Credentials` and the preflight headers to origins that are not on it.
 */
export const shareAcrossOrigins = (app: FastifyInstance, origins: ReadonlySet<string>): void => {
  /** A preflight names another method than its route, so the router does not lead from it to the document. */
  const publicDocuments = new Set<string>()
  app.addHook('onRoute', (route) => {
    if (route.config?.publicDocument) publicDocuments.add(route.url)
  })

  app.addHook('onRequest', (request, reply, done) => {
    if (publicDocuments.has(request.routeOptions.url ?? request.url)) {
      // Never with credentials, so an answer made for one user cannot leak through it.
      reply.header('access-control-allow-origin', '*')
      if (isPreflight(request)) answerPreflight(reply, 'GET, HEAD')
      else done()
      return
    }
    // Also when there is no Origin: a cache must not give that answer to a page.
    reply.header('vary', 'Origin')
    const origin = request.headers.origin
    if (origin === undefined || !origins.has(origin)) {
      done()
      return
    }
    reply.headers({
      'access-control-allow-origin': origin,
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'etag, retry-after, www-authenticate, x-request-id',
    })
    if (isPreflight(request)) answerPreflight(reply, 'GET, HEAD, POST, PUT, PATCH, DELETE')
    else done()
  })
}
