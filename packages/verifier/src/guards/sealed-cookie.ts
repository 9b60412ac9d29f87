import { VerifierError } from '../errors.ts'
import { judgePage, loopbackHint, readCookies, safeMethods } from '../wire/browser-requests.ts'
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

/**
 * Refuses a request that changes something and came from a page of another site: a browser sends cookies with it that its user never
 * meant to lend.
 *
 * @throws {VerifierError} `forbidden_origin` for a page that is not on the list, `cross_site_origin` for one that is, and is of another site
 */
export const refuseForeignPage = (
  { method, origin, secFetchSite, host }: Presented,
  allowedOrigins: ReadonlySet<string>,
): void => {
  if (safeMethods.has(method)) return
  const kind = judgePage({ origin, secFetchSite }, allowedOrigins)
  if (kind === 'own') return
  if (kind === 'unlisted') {
    const page = origin === undefined ? 'a page that names no origin' : JSON.stringify(origin)
    throw new VerifierError('forbidden_origin', { cause: new Error(`from ${page}`) })
  }
  const hint = loopbackHint(origin ?? '', host) ?? 'browsers send it from the same site only'
  throw new VerifierError('cross_site_origin', { cause: new Error(hint) })
}
