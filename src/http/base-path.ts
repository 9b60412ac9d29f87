import type { IncomingMessage } from 'node:http'
import type { KnownPaths } from './not-found.ts'

/**
 * The path of the issuer, such as `/auth`, or an empty string. In the addresses that clients use it precedes every path of this service, so
 * links, form actions and redirects begin with it.
 */
export const basePathOf = (issuer: string): string => {
  const { pathname } = new URL(issuer)
  return pathname === '/' ? '' : pathname
}

const isParameter = (segment: string): boolean => segment.startsWith(':')

/** Whether an address exists that matches both patterns. */
const canBeSame = (one: string, other: string): boolean => {
  const segments = one.split('/')
  const others = other.split('/')
  return (
    segments.length === others.length &&
    segments.every((segment, place) => {
      const opposite = others[place] ?? ''
      return segment === opposite || isParameter(segment) || isParameter(opposite)
    })
  )
}

/**
 * The route that would hide another one below this base path, or nothing for a usable base path. Example: with `/sessions`, the address
 * `/sessions/login` is both the login page below the base path and the session `login` without it. `/oauth` is usable, because no two
 * routes collide there.
 */
export const routeHiding = (basePath: string, paths: KnownPaths): string | undefined => {
  if (basePath === '') return undefined
  const patterns = paths.patterns()
  const below = patterns.map((path) => `${basePath}${path}`)
  return patterns.find((path) => [basePath, ...below].some((other) => canBeSame(path, other)))
}

/** A request target may be a whole URL (RFC 9112 section 3.2.2). */
const authorityOf = /^[A-Za-z]+:\/\/[^/?#]*/

/** The next segment, a query, or the end: `/authors` does not begin with `/auth`. */
const beginsSegment = /^(?:[/?]|$)/

/**
 * For Fastify's `rewriteUrl`: removes the base path from the address of a request. So routes and hooks see the same paths behind a proxy
 * that forwards the full address, behind one that strips the base path, and for probes that bypass the proxy.
 *
 * An address that already matches a route is kept. With the base path `/oauth`, a stripping proxy turns `/oauth/oauth/token` into
 * `/oauth/token`, and the path must not be stripped a second time.
 */
export const stripBasePath = (
  basePath: string,
  paths: KnownPaths,
): ((request: Pick<IncomingMessage, 'url'>) => string) =>
  function strip({ url = '' }) {
    const authority = authorityOf.exec(url)?.[0] ?? ''
    const target = url.slice(authority.length)
    const rest = target.slice(basePath.length)
    if (!target.startsWith(basePath) || !beginsSegment.test(rest)) return url
    const isRoute = paths.methodsOf(target.split('?', 1)[0] ?? '').length > 0
    if (isRoute) return url
    return `${authority}${rest.startsWith('/') ? '' : '/'}${rest}`
  }
