import fastifyCookie, { type CookieSerializeOptions } from '@fastify/cookie'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import {
  type Cookies,
  isPageOrigin,
  judgePage,
  loopbackHint,
  readCookies,
  safeMethods,
} from '../../packages/verifier/src/wire.ts'
import type { AppError } from '../lib/app-error.ts'
import { httpErrors } from './errors.ts'
import type { OnEveryRequest } from './request-checks.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** The domain for cookies that all hosts of a site share. Undefined: every cookie belongs to one host. */
    cookieDomain: string | undefined
  }
  interface FastifyRequest {
    /** Set by `cookiesOf`. Read it through that function. */
    cookiesRead: Cookies | undefined
  }
}

/** Browsers silently drop larger cookies (RFC 6265bis section 5.6). */
const maxNameAndValueBytes = 4096

type CredentialCookieOptions = {
  /** How long the browser keeps it, in seconds; zero deletes it. Undefined: until the browser closes. */
  readonly maxAgeSeconds: number | undefined
  /** Use `lax` only where a link from another site must arrive logged in. */
  readonly sameSite: 'strict' | 'lax'
  /** Only with a `__Secure-` name. The browser sends the cookie to this domain and to every host below it. */
  readonly domain?: string | undefined
}

/** A cookie that a response sets, checked and ready for `setCookies`. */
export type CredentialCookie = {
  readonly name: string
  readonly value: string
  readonly options: CookieSerializeOptions
}

type CookieRequest = Pick<FastifyRequest, 'cookiesRead' | 'headers' | 'isFromOtherSite'>

/**
 * Registers `@fastify/cookie` for setting cookies only. Its parser keeps the first of several cookies with one name, so `request.cookies`
 * would hide a planted second one. Its reading hook is off, and routes read cookies with `singleCookie`.
 */
export const registerCookies = async (app: FastifyInstance): Promise<void> => {
  await app.register(fastifyCookie, { hook: false })
}

/**
 * Whether this request may use cookies and its response may set them. A route that pages of other sites may call checks this before it
 * reads a cookie.
 */
export const mayUseCookies = ({
  isFromOtherSite,
}: Pick<FastifyRequest, 'isFromOtherSite'>): boolean => !isFromOtherSite

/**
 * The cookies of a request. The header is parsed once, on the first call.
 *
 * @throws cross_site_origin
 */
export const cookiesOf = (request: CookieRequest): Cookies => {
  if (!mayUseCookies(request)) throw otherSiteRefusal(request)
  request.cookiesRead ??= readCookies(request.headers.cookie)
  return request.cookiesRead
}

/**
 * The value of the one cookie with exactly this name, or `undefined`.
 *
 * @throws duplicate_cookie, cross_site_origin
 */
export const singleCookie = (request: CookieRequest, name: string): string | undefined => {
  const [value, second] = cookiesOf(request).get(name) ?? []
  if (second !== undefined) {
    throw httpErrors.error('duplicate_cookie', { detail: `More than one cookie named ${name}.` })
  }
  return value
}

/**
 * A cookie with `Secure; HttpOnly; Path=/` and no `Domain`. The `__Host-` name makes the browser enforce this, so no sibling domain can set
 * or overwrite the cookie (RFC 6265bis section 4.1.3.2). A cookie with a domain has a `__Secure-` name instead, which only prevents pages
 * without TLS from setting it.
 *
 * @throws {TypeError} for a name without the prefix, a value outside base64url, or a cookie that is too large
 */
export const credentialCookie = (
  name: string,
  value: string,
  options: CredentialCookieOptions,
): CredentialCookie => {
  const prefix = options.domain === undefined ? '__Host-' : '__Secure-'
  if (!name.startsWith(prefix)) throw new TypeError(`this credential cookie is named ${prefix}…`)
  if (!/^[\w.-]*$/.test(value)) throw new TypeError(`the value of ${name} is not opaque text`)
  if (name.length + value.length > maxNameAndValueBytes) {
    throw new TypeError(`${name} and its value are longer than ${maxNameAndValueBytes} bytes`)
  }
  return {
    name,
    value,
    options: {
      ...(options.maxAgeSeconds !== undefined && { maxAge: options.maxAgeSeconds }),
      path: '/',
      secure: true,
      httpOnly: true,
      sameSite: options.sameSite,
      ...(options.domain !== undefined && { domain: options.domain }),
    },
  }
}

/** Deletes the cookie. The attributes must be those it was set with, or the browser keeps it. */
export const expiredCookie = (
  name: string,
  options: Pick<CredentialCookieOptions, 'sameSite' | 'domain'>,
): CredentialCookie => credentialCookie(name, '', { ...options, maxAgeSeconds: 0 })

/** Sets cookies on the response, even if it becomes an error response later. */
export const setCookies = (reply: FastifyReply, cookies: readonly CredentialCookie[]): void => {
  for (const { name, value, options } of cookies) reply.setCookie(name, value, options)
}

export { safeMethods }

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * A public route that works without a cookie for some requests, such as a login with `"delivery": "body"`. Listed pages of other sites
     * may call it. Left out: they may not.
     */
    worksWithoutCookies?: boolean
  }
  interface FastifyRequest {
    /** The request comes from a script on a listed page of another site. Reading a cookie then throws. */
    isFromOtherSite: boolean
  }
}

/**
 * The origins whose pages may send unsafe requests and read responses: that of the issuer and the configured ones. They are compared as
 * whole strings.
 *
 * @throws {TypeError} for an entry that is not an origin such as `https://app.example.com`, for example `null` or `*`
 */
export const originList = (
  issuer: string,
  allowedOrigins: readonly string[],
): ReadonlySet<string> => {
  for (const origin of allowedOrigins) {
    if (!isPageOrigin(origin)) throw new TypeError(`not an origin: ${origin}`)
  }
  return new Set([new URL(issuer).origin, ...allowedOrigins])
}

/**
 * Whether the route works without a cookie. Then it does not matter which page made the browser send the request: the credentials are in a
 * header or in the body, where the page itself must have put them.
 */
const canDoWithoutCookies = ({ is404, headers, routeOptions }: FastifyRequest): boolean => {
  const { access, protocol, worksWithoutCookies } = routeOptions.config
  if (is404 || protocol === 'oauth' || worksWithoutCookies === true) return true
  if (access === 'session') return headers.authorization !== undefined
  return access === 'operator' || access === 'service'
}

/** The error for a listed page that would need a cookie. Browsers do not send cookies from another site. */
const otherSiteRefusal = ({
  headers: { origin = '', host },
}: Pick<FastifyRequest, 'headers'>): AppError => {
  const hint = loopbackHint(origin, host)
  return httpErrors.error('cross_site_origin', { ...(hint !== undefined && { detail: hint }) })
}

/** The listed origin that was probably meant: the same port of this machine under its other name (`localhost` and `127.0.0.1`). */
const twinOf = (origin: string, origins: ReadonlySet<string>): string | undefined =>
  [...origins].find((listed) => {
    if (!/^https?:/.test(listed)) return false
    const { host, port } = new URL(listed)
    return port === new URL(origin).port && loopbackHint(origin, host) !== undefined
  })

const whyUnlisted = (
  origin: string | undefined,
  origins: ReadonlySet<string>,
): string | undefined => {
  if (origin === 'null') {
    return 'The page has no origin of its own: it is a file, or a frame in a sandbox.'
  }
  if (origin === undefined || !isPageOrigin(origin)) return undefined
  const twin = twinOf(origin, origins)
  const hint = twin === undefined ? '' : ` ${twin} is listed, but it is another origin.`
  return `${origin} is not in ALLOWED_ORIGINS.${hint}`
}

/** The error for a page whose origin is not on the list. */
const unlistedRefusal = (origin: string | undefined, origins: ReadonlySet<string>): AppError => {
  const detail = whyUnlisted(origin, origins)
  return httpErrors.error('forbidden_origin', { ...(detail !== undefined && { detail }) })
}

/**
 * Refuses unsafe requests of foreign pages before their body is read. A listed page of another site may send safe requests, and requests
 * that need no cookie. For these, reading a cookie throws (`cookiesOf`), so no route uses one by mistake.
 */
export const refuseForeignPages = (origins: ReadonlySet<string>): OnEveryRequest =>
  function refuseForeignPages(request) {
    const { origin, 'sec-fetch-site': secFetchSite } = request.headers
    const isSafe = safeMethods.has(request.method)
    // With a safe request, a link or a form of another site sends no Origin. A script that could read the response does.
    if (isSafe && origin === undefined) return
    const page = judgePage({ origin, secFetchSite }, origins)
    if (isSafe) request.isFromOtherSite = page === 'other-site'
    if (isSafe || page === 'own') return
    if (page === 'unlisted') throw unlistedRefusal(origin, origins)
    if (!canDoWithoutCookies(request)) throw otherSiteRefusal(request)
    request.isFromOtherSite = true
  }

/** How long a browser may cache a preflight response, in seconds. */
const preflightMaxAgeSeconds = 600

const isPreflight = (request: FastifyRequest): boolean =>
  request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined

/** Header names separated by commas (RFC 9110 section 5.6.2), without `*`. */
const headerNames = /^[\w!#$%&'+.^`|~, \t-]+$/

/**
 * Allows every requested header. Instrumented apps add their own (`traceparent`, `sentry-trace`, `x-request-id`, …), and no header that a
 * page can set grants a permission: those that do are accepted from trusted proxies only.
 */
const respondToPreflight = (
  request: FastifyRequest,
  reply: FastifyReply,
  methods: string,
): void => {
  const requested = request.headers['access-control-request-headers']
  reply
    .headers({
      'access-control-allow-methods': methods,
      ...(requested !== undefined &&
        headerNames.test(requested) && { 'access-control-allow-headers': requested }),
      'access-control-max-age': preflightMaxAgeSeconds,
    })
    .code(204)
    .send()
}

/**
 * CORS headers. Pages of listed origins may read responses with credentials. Any page may read public documents without credentials. All
 * others get no `Access-Control-*` header at all. This is written by hand because @fastify/cors 11.4.3 with a list still sends
 * `Access-Control-Allow-Credentials` and the preflight headers to origins that are not on it.
 */
export const shareAcrossOrigins = (app: FastifyInstance, origins: ReadonlySet<string>): void => {
  /** A preflight has the method OPTIONS, so the router does not find the route of the document. */
  const publicDocuments = new Set<string>()
  app.addHook('onRoute', (route) => {
    if (route.config?.publicDocument) publicDocuments.add(route.url)
  })

  app.addHook('onRequest', (request, reply, done) => {
    if (publicDocuments.has(request.routeOptions.url ?? request.url)) {
      // Never with credentials, so a response made for one user cannot leak through it.
      reply.header('access-control-allow-origin', '*')
      if (isPreflight(request)) respondToPreflight(request, reply, 'GET, HEAD')
      else done()
      return
    }
    // Also without an Origin: a cache must not give that response to a page.
    reply.header('vary', 'Origin')
    const origin = request.headers.origin
    if (origin === undefined || !origins.has(origin)) {
      // The browser only shows the page a network error. Developers find the reason in this response.
      if (origin !== undefined && isPreflight(request)) throw unlistedRefusal(origin, origins)
      done()
      return
    }
    reply.headers({
      'access-control-allow-origin': origin,
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'etag, retry-after, www-authenticate, x-request-id',
    })
    if (isPreflight(request)) {
      reply.header('vary', 'Origin, Access-Control-Request-Headers')
      respondToPreflight(request, reply, 'GET, HEAD, POST, PUT, PATCH, DELETE')
    } else done()
  })
}
