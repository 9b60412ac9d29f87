import { VerifierError } from '../errors.ts'
import { judgePage, loopbackHint, readCookies, safeMethods } from '../wire/browser-requests.ts'
import type { Presented } from './presented.ts'

/** The prefix makes browsers require `Secure`, `Path=/` and no `Domain`, so no sibling domain can set it (RFC 6265bis section 4.1.3.2). */
const name = '__Host-cardea-sealed'

/**
 * The sealed token of a request: the value of the one cookie with exactly this name.
 *
 * @throws {VerifierError} `token_missing`, or `token_invalid` for two: one of them was planted, and using it could log the user in as
 * somebody else
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
 * Refuses an unsafe request from a page of another site: the browser adds the user's cookies to it without the user's intent.
 *
 * @throws {VerifierError} `forbidden_origin` for a page that is not listed, `cross_site_origin` for a listed page of another site
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
