import { VerifierError } from '../errors.ts'
import type { Presented } from './presented.ts'

/** The prefix makes browsers insist on `Secure`, `Path=/` and no `Domain`: no sibling domain can set it (RFC 6265bis section 4.1.3.2). */
const start = '__Host-cardea-sealed='

/**
 * What separates pairs (RFC 9110 section 5.6.3). `trim()` would take off more: a sibling domain may
 * set a cookie whose name is ours after a no-break space, which browsers do not hold to the rules
 * of `__Host-`.
 */
const outerBlanks = /^[ \t]+|[ \t]+$/g

/**
 * The sealed token of a request: the value of the one cookie of exactly this name.
 *
 * @throws {VerifierError} `token_missing`, or `token_invalid` for two: somebody planted one of them, and taking either could sign the
 *   person in as somebody else
 */
export const sealedCookie = (header: string | undefined): string => {
  const values = (header ?? '')
    .split(';')
    .map((pair) => pair.replace(outerBlanks, ''))
    .filter((pair) => pair.startsWith(start))
    .map((pair) => pair.slice(start.length))
  const [value, second] = values
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
