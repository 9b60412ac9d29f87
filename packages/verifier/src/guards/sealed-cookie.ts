import { VerifierError } from '../errors.ts'
import { readCookies } from '../wire/cookies.ts'
import type { Presented } from './presented.ts'

/** The prefix makes browsers insist on `Secure`, `Path=/` and no `Domain`: no sibling domain can set it (RFC 6265bis section 4.1.3.2). */
const name = '__Host-cardea-sealed'

/**
 * The sealed token of a request: the value of the one cookie of exactly this name.
 *
 * @throws {VerifierError} `token_missing`, or `token_invalid` for two: somebody planted one of them, and taking either could sign the
 *   person in as somebody else
 */
export const sealedCookie = (header: string | undefined): string => {
  const [value, second] = readCookies(header).get(name) ?? []
  if (value === undefined) throw new VerifierError('token_missing')
  if (second !== undefined) {
    throw new VerifierError('token_invalid', { cause: new Error('several sealed cookies') })
  }
  return value
}

/** Methods that change nothing, so that it does not matter who made a browser ask (RFC 9110 section 9.2.1). */
const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/**
 * Refuses a request that changes something and came from a page of another site: a browser sends cookies with it that its user never
 * meant to lend. `Sec-Fetch-Site` decides; for browsers that do not send it, `Origin` does. Neither: no browser asked.
 *
 * @throws {VerifierError} `forbidden_origin`
 */
export const refuseForeignSite = (
  { method, origin, secFetchSite }: Presented,
  allowedOrigins: ReadonlySet<string>,
): void => {
  if (safeMethods.has(method)) return
  const isListed = origin !== undefined && allowedOrigins.has(origin)
  if (secFetchSite === 'same-origin' || secFetchSite === 'none') return
  // A sibling subdomain is the same site, and SameSite holds nothing back from it: it must be on the list.
  if (secFetchSite === 'same-site' && isListed) return
  if (secFetchSite === undefined && (origin === undefined || isListed)) return
  throw new VerifierError('forbidden_origin', { cause: new Error('from a page of another site') })
}
