import type { FastifyInstance } from 'fastify'
import { httpErrors } from './errors.ts'

type KnownPath = { readonly segments: readonly string[]; readonly methods: Set<string> }

const segmentsOf = (path: string): string[] => path.split('/')

/** Our paths have fixed segments and `:name` ones, which the router lets any one segment match. */
const matches = (pattern: readonly string[], path: readonly string[]): boolean =>
  pattern.length === path.length &&
  pattern.every((segment, place) => segment.startsWith(':') || segment === path[place])

/**
 * Answers what no route takes: 405 with `Allow` when the path has routes for other methods (RFC 9110 section 15.5.6),
 * else 404. The router finds routes by method first, so it cannot tell the two apart; this keeps its own list.
 */
export const answerUnroutedRequests = (app: FastifyInstance): void => {
  const known = new Map<string, KnownPath>()

  app.addHook('onRoute', (route) => {
    const path = known.get(route.url) ?? { segments: segmentsOf(route.url), methods: new Set() }
    for (const method of [route.method].flat()) path.methods.add(method)
    known.set(route.url, path)
  })

  app.setNotFoundHandler(async (request, reply) => {
    const segments = segmentsOf(request.url.split('?', 1)[0] ?? '')
    const methods = [...known.values()]
      .filter((path) => matches(path.segments, segments))
      .flatMap((path) => [...path.methods])
    if (methods.length === 0) throw httpErrors.error('not_found')
    reply.header('allow', [...new Set(methods)].sort().join(', '))
    throw httpErrors.error('method_not_allowed')
  })
}
