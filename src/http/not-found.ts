import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { AppError } from '../lib/app-error.ts'
import { prefersHtml } from './accept.ts'
import { httpErrors } from './errors.ts'
import { html, type Page } from './page.ts'

type KnownPath = { readonly segments: readonly string[]; readonly methods: Set<string> }

const segmentsOf = (path: string): string[] => path.split('/')

/** Paths have fixed segments and `:name` segments, which match any one segment. */
const matches = (pattern: readonly string[], path: readonly string[]): boolean =>
  pattern.length === path.length &&
  pattern.every((segment, place) => segment.startsWith(':') || segment === path[place])

/** The paths that have routes. The router looks up by method first, so it cannot list the other methods of a path. */
export type KnownPaths = {
  readonly add: (pattern: string, methods: readonly string[]) => void
  /** Every method that has a route at this path. Empty: the service has no such path. */
  readonly methodsOf: (path: string) => readonly string[]
  /** Every path, with `:name` for a segment that can have any value. */
  readonly patterns: () => readonly string[]
}

declare module 'fastify' {
  interface FastifyInstance {
    knownPaths: KnownPaths
  }
}

export const knownPaths = (): KnownPaths => {
  const known = new Map<string, KnownPath>()
  return {
    add: (pattern, methods) => {
      const path = known.get(pattern) ?? { segments: segmentsOf(pattern), methods: new Set() }
      for (const method of methods) path.methods.add(method)
      known.set(pattern, path)
    },
    patterns: () => [...known.keys()],
    methodsOf: (path) => {
      const segments = segmentsOf(path)
      return [...known.values()]
        .filter((one) => matches(one.segments, segments))
        .flatMap(({ methods }) => [...methods])
    },
  }
}

const notFoundPage: Page = {
  title: 'Page not found',
  content: html`<h1>Page not found</h1>
<p>There is no page at this address. Check the address for a typing error.</p>
<p class="other"><a href="/">Go to the start page</a></p>`,
}

/** The page for a person at a path without a route. Nothing for programs and for other errors. */
export const unknownPathPage = (
  { code }: AppError,
  { is404, headers }: FastifyRequest,
): Page | undefined =>
  is404 && code === 'not_found' && prefersHtml(headers.accept) ? notFoundPage : undefined

/**
 * Handles requests without a route: 405 with `Allow` when the path has routes for other methods (RFC 9110 section 15.5.6), otherwise 404.
 */
export const handleUnroutedRequests = (app: FastifyInstance, paths: KnownPaths): void => {
  app.addHook('onRoute', (route) => paths.add(route.url, [route.method].flat()))

  app.setNotFoundHandler(async (request, reply) => {
    const methods = paths.methodsOf(request.url.split('?', 1)[0] ?? '')
    if (methods.length === 0) throw httpErrors.error('not_found')
    reply.header('allow', [...new Set(methods)].sort().join(', '))
    throw httpErrors.error('method_not_allowed')
  })
}
