import type { IncomingHttpHeaders } from 'node:http'
import { httpErrors } from './errors.ts'
import type { OnEveryRequest } from './on-every-request.ts'

/** Methods that change nothing here (RFC 9110 section 9.2.1), so a forged one is harmless. */
export const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/**
 * Whether an unsafe request may come from where it comes from: `Sec-Fetch-Site`, which pages cannot set, decides; for
 * browsers that do not send it, `Origin` does. Neither header: no browser, so no cookie of a user was borrowed.
 */
const comesFromAllowedSite = (
  headers: IncomingHttpHeaders,
  origins: ReadonlySet<string>,
): boolean => {
  const origin = headers.origin
  const originListed = origin !== undefined && origins.has(origin)
  switch (headers['sec-fetch-site']) {
    case 'same-origin':
    case 'none':
      return true
    // A sibling subdomain sends our cookies along, SameSite or not: it must be on the list.
    case 'same-site':
      return originListed
    case undefined:
      return origin === undefined || originListed
    default:
      return false
  }
}

/** Refuses cross-site unsafe requests before their body is read. */
export const refuseForeignSites =
  (origins: ReadonlySet<string>): OnEveryRequest =>
  (request) => {
    if (safeMethods.has(request.method)) return
    if (!comesFromAllowedSite(request.headers, origins)) throw httpErrors.error('forbidden_origin')
  }
