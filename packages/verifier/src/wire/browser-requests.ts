/** The values of each cookie of a request, by its exact name, in the order of the header. */
export type Cookies = ReadonlyMap<string, readonly string[]>

const space = 0x20
const tab = 0x09

const isBlank = (text: string, place: number): boolean => {
  const character = text.charCodeAt(place)
  return character === space || character === tab
}

/**
 * Reads a `Cookie` header in one pass, in linear time.
 *
 * It is written by hand because parsers keep one of several cookies with one name. A second one was planted (by another path or a sibling
 * domain), and using either could log the user in as the attacker, so the caller must see both. A name that differs only in case is another
 * cookie.
 *
 * Only spaces and tabs around a pair are removed (RFC 9110 section 5.6.3). `trim()` would remove more: a sibling domain may set a cookie
 * whose name is ours after a no-break space, and browsers do not apply the rules of `__Host-` to that name. A regular expression such as
 * `/[ \t]+$/` takes quadratic time, because it restarts at every blank of a run.
 */
export const readCookies = (header = ''): Cookies => {
  const cookies = new Map<string, string[]>()
  for (let start = 0, end = 0; start < header.length; start = end + 1) {
    end = header.indexOf(';', start)
    if (end < 0) end = header.length
    let first = start
    let afterLast = end
    while (first < afterLast && isBlank(header, first)) first += 1
    while (first < afterLast && isBlank(header, afterLast - 1)) afterLast -= 1
    const pair = header.slice(first, afterLast)
    const equals = pair.indexOf('=')
    if (equals < 0) continue
    const name = pair.slice(0, equals)
    const value = pair.slice(equals + 1)
    const values = cookies.get(name)
    if (values === undefined) cookies.set(name, [value])
    else values.push(value)
  }
  return cookies
}

/** Methods without side effects (RFC 9110 section 9.2.1). It does not matter which page made a browser send such a request. */
export const safeMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/** The origin of an app in a webview: `capacitor://localhost`, `tauri://localhost`, `app://bundle`. */
const appOrigin = /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9._-]+(?::[0-9]{1,5})?$/

const maxOriginLength = 255

/**
 * Whether a text is an origin exactly as browsers write it in `Origin` (RFC 6454 section 6.2): lower case, no path, no default port, of a
 * web page or of an app in a webview. Never `null`, which is the origin of any sandboxed page, nor `file:`, which is that of every file.
 * There are no patterns, because attackers find one that is a little too wide.
 */
export const isPageOrigin = (text: string): boolean => {
  if (text.length > maxOriginLength || text.includes('*') || !URL.canParse(text)) return false
  const { protocol, origin } = new URL(text)
  if (protocol === 'http:' || protocol === 'https:') return origin === text
  // For the schemes of apps `URL` returns no origin, so the text itself is checked.
  return origin === 'null' && protocol !== 'file:' && appOrigin.test(text)
}

/** The headers with which a browser identifies the requesting page. Pages cannot set them. */
export type PageHeaders = {
  readonly origin: string | undefined
  readonly secFetchSite: string | undefined
}

/**
 * `own`: a page that may act with its user's cookies, or no browser at all. `other-site`: its origin is listed but belongs to another site,
 * so cookies must not be used. `unlisted`: any other page.
 */
export type PageKind = 'own' | 'other-site' | 'unlisted'

/**
 * Decides by `Sec-Fetch-Site`, or by `Origin` for browsers that do not send it. Without both headers the client is no browser, so no user's
 * cookie was abused. For unsafe requests.
 */
export const judgePage = (
  { origin, secFetchSite }: PageHeaders,
  listed: ReadonlySet<string>,
): PageKind => {
  if (secFetchSite === 'same-origin' || secFetchSite === 'none') return 'own'
  if (origin === undefined) return secFetchSite === undefined ? 'own' : 'unlisted'
  // Requests of a sibling subdomain carry our cookies even with SameSite, so it must be listed.
  if (!listed.has(origin)) return 'unlisted'
  const isSameSite = secFetchSite === undefined || secFetchSite === 'same-site'
  // Only web pages can have the same site as a server; an app's scheme never has.
  return isSameSite && /^https?:/.test(origin) ? 'own' : 'other-site'
}

/** An address of this machine. @param hostname in the form of `URL` */
export const isLoopback = (hostname: string): boolean =>
  hostname === 'localhost' ||
  hostname === '[::1]' ||
  hostname.endsWith('.localhost') ||
  /^127\.[0-9.]+$/.test(hostname)

/**
 * A hint for origins that differ only in the name of this machine: a developer opens `http://localhost:5173`, and the page calls
 * `http://127.0.0.1:8088`. Undefined for anything else.
 *
 * @param origin of the page, as sent
 * @param host the `Host` of the request
 */
export const loopbackHint = (origin: string, host: string | undefined): string | undefined => {
  if (host === undefined || !URL.canParse(`http://${host}`)) return undefined
  if (!/^https?:/.test(origin) || !URL.canParse(origin)) return undefined
  const page = new URL(origin)
  const { hostname, host: serverHost } = new URL(`http://${host}`)
  if (page.hostname === hostname || !isLoopback(page.hostname) || !isLoopback(hostname)) {
    return undefined
  }
  const port = page.port === '' ? '' : `:${page.port}`
  return `Browsers take ${page.hostname} and ${hostname} for two sites: open the page as ${page.protocol}//${hostname}${port}, or send its requests to ${serverHost.replace(hostname, page.hostname)}.`
}
