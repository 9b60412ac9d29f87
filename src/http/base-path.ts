import type { IncomingMessage } from 'node:http'
import type { KnownPaths } from './not-found.ts'

/**
 * What stands before the paths of this service in the addresses that clients use: the path of the issuer, such as `/auth`, or nothing.
 * Links, form actions and redirects begin with it.
 */
export const basePathOf = (issuer: string): string => {
  const { pathname } = new URL(issuer)
  return pathname === '/' ? '' : pathname
}

const isParameter = (segment: string): boolean => segment.startsWith(':')

/** Whether some address fits both. */
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
 * A route that hides another one below this base path; nothing for a good base path. With `/sessions`, the address `/sessions/login` is
 * the login page below the base path and the session `login` without it. `/oauth` is good, since no two routes meet there.
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
 * For `rewriteUrl` of Fastify: takes the base path off the address of a request. So routes and hooks see the same paths behind a proxy
 * that passes addresses on as they are, behind one that strips the base path, and for probes that come without a proxy.
 *
 * An address that is a route as it stands is left alone. With the base path `/oauth`, a stripping proxy makes `/oauth/token` of
 * `/oauth/oauth/token`, and nothing may be taken off again.
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
