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
    /** The domain of cookies that all hosts of a site share; undefined: every cookie belongs to one host. */
    cookieDomain: string | undefined
  }
  interface FastifyRequest {
    /** Set by `cookiesOf`, which is how to read it. */
    cookiesRead: Cookies | undefined
  }
}

/** Browsers drop larger cookies without a word (RFC 6265bis section 5.6). */
const maxNameAndValueBytes = 4096

type CredentialCookieOptions = {
  /** Seconds the browser keeps it; zero deletes it. Undefined: until it is closed. */
  readonly maxAgeSeconds: number | undefined
  /** `lax` only where a link from another site must arrive logged in. */
  readonly sameSite: 'strict' | 'lax'
  /** With a `__Secure-` name only: the browser sends the cookie to this domain and every host below it. */
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
 * Responses set their cookies with `@fastify/cookie`. It reads none: its parser keeps the first of several cookies of a name, and a route
 * that used `request.cookies` would not see that a second one was planted. So it has no hook that reads, no request pays for one, and
 * `singleCookie` is how to read a cookie.
 */
export const registerCookies = async (app: FastifyInstance): Promise<void> => {
  await app.register(fastifyCookie, { hook: false })
}

/**
 * Whether the cookies of a request count, and its response may set some. A route that listed pages of other sites may call asks this
 * before it reads one.
 */
export const mayUseCookies = ({
  isFromOtherSite,
}: Pick<FastifyRequest, 'isFromOtherSite'>): boolean => !isFromOtherSite

/**
 * The cookies of a request. The header is read once, when the first caller asks.
 *
 * @throws cross_site_origin
 */
export const cookiesOf = (request: CookieRequest): Cookies => {
  if (!mayUseCookies(request)) throw otherSiteRefusal(request)
  request.cookiesRead ??= readCookies(request.headers.cookie)
  return request.cookiesRead
}

/**
 * The value of the one cookie of exactly this name; `undefined` when there is none.
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
 * A cookie with `Secure; HttpOnly; Path=/` and no `Domain`. The `__Host-` name makes the browser insist on that,
 * so that no sibling domain can set or overwrite it (RFC 6265bis section 4.1.3.2). A cookie with a domain has a `__Secure-` name instead,
 * which keeps pages without TLS from setting it, and no more.
 *
 * @throws {TypeError} for a name without the prefix, a value outside base64url, or too many bytes
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

/** Deletes the cookie. The attributes are those it was set with, or the browser would keep it. */
export const expiredCookie = (
  name: string,
  options: Pick<CredentialCookieOptions, 'sameSite' | 'domain'>,
): CredentialCookie => credentialCookie(name, '', { ...options, maxAgeSeconds: 0 })

/** Sets cookies with the response, also with that of an error which is thrown later. */
export const setCookies = (reply: FastifyReply, cookies: readonly CredentialCookie[]): void => {
  for (const { name, value, options } of cookies) reply.setCookie(name, value, options)
}

export { safeMethods }

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * A public route that some requests use without any cookie, such as a login with `"delivery": "body"`. Pages of other sites that are
     * listed may call it. Left out: they may not.
     */
    worksWithoutCookies?: boolean
  }
  interface FastifyRequest {
    /** A request of a script on a listed page of another site. Reading a cookie refuses it. */
    isFromOtherSite: boolean
  }
}

/**
 * The origins whose pages may send unsafe requests and read responses: the issuer's own and those configured. They are compared as
 * whole strings.
 *
 * @throws {TypeError} for an entry that is not an origin (`https://app.example.com`): so never `null`, never `*`
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
 * Whether a request can be served without a cookie, so that it does not matter who made a browser send it: what it needs, it carries
 * itself, in a header or in a body that a page of another site must know.
 */
const canDoWithoutCookies = ({ is404, headers, routeOptions }: FastifyRequest): boolean => {
  const { access, protocol, worksWithoutCookies } = routeOptions.config
  if (is404 || protocol === 'oauth' || worksWithoutCookies === true) return true
  if (access === 'session') return headers.authorization !== undefined
  return access === 'operator' || access === 'service'
}

/** The refusal of a listed page that would need a cookie, which browsers do not send from another site. */
const otherSiteRefusal = ({
  headers: { origin = '', host },
}: Pick<FastifyRequest, 'headers'>): AppError => {
  const hint = loopbackHint(origin, host)
  return httpErrors.error('cross_site_origin', { ...(hint !== undefined && { detail: hint }) })
}

/** Which entry of the list was probably meant: the same port of this machine under its other name. */
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
  const hint = twin === undefined ? '' : ` ${twin} is, and is another origin.`
  return `${origin} is not in ALLOWED_ORIGINS.${hint}`
}

/** The refusal of a page whose origin is not on the list. */
const unlistedRefusal = (origin: string | undefined, origins: ReadonlySet<string>): AppError => {
  const detail = whyUnlisted(origin, origins)
  return httpErrors.error('forbidden_origin', { ...(detail !== undefined && { detail }) })
}

/**
 * Refuses unsafe requests of foreign pages before their body is read. A listed page of another site is let through where no cookie is
 * needed, and with every safe request; from then on reading one throws (`cookiesOf`), so that no route acts on a cookie by mistake.
 */
export const refuseForeignPages = (origins: ReadonlySet<string>): OnEveryRequest =>
  function refuseForeignPages(request) {
    const { origin, 'sec-fetch-site': secFetchSite } = request.headers
    const isSafe = safeMethods.has(request.method)
    // A link or a form of another site sends no Origin with a safe request; a script that could read the response does.
    if (isSafe && origin === undefined) return
    const page = judgePage({ origin, secFetchSite }, origins)
    if (isSafe) request.isFromOtherSite = page === 'other-site'
    if (isSafe || page === 'own') return
    if (page === 'unlisted') throw unlistedRefusal(origin, origins)
    if (!canDoWithoutCookies(request)) throw otherSiteRefusal(request)
    request.isFromOtherSite = true
  }

/** Seconds a browser may cache a preflight's response. */
const preflightMaxAgeSeconds = 600

const isPreflight = (request: FastifyRequest): boolean =>
  request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined

/** Names of headers between commas (RFC 9110 section 5.6.2), and no `*`. */
const headerNames = /^[\w!#$%&'+.^`|~, \t-]+$/

/**
 * Every header that is asked for is allowed: instrumented apps add their own (`traceparent`, `sentry-trace`, `x-request-id`, …), and no
 * header is a permission here. Those that are can be set by a trusted proxy only.
 */
const respondToPreflight = (
  request: FastifyRequest,
  reply: FastifyReply,
  methods: string,
): void => {
  const asked = request.headers['access-control-request-headers']
  reply
    .headers({
      'access-control-allow-methods': methods,
      ...(asked !== undefined &&
        headerNames.test(asked) && { 'access-control-allow-headers': asked }),
      'access-control-max-age': preflightMaxAgeSeconds,
    })
    .code(204)
    .send()
}

/**
 * Which pages may read responses: those of the listed origins, with credentials; any page for public documents, without.
 * Everyone else gets no `Access-Control-*` header at all. By hand, because @fastify/cors 11.4.3 with a list still sends
 * `Access-Control-Allow-Credentials` and the preflight headers to origins that are not on it.
 */
export const shareAcrossOrigins = (app: FastifyInstance, origins: ReadonlySet<string>): void => {
  /** A preflight names another method than its route, so the router does not lead from it to the document. */
  const publicDocuments = new Set<string>()
  app.addHook('onRoute', (route) => {
    if (route.config?.publicDocument) publicDocuments.add(route.url)
  })

  app.addHook('onRequest', (request, reply, done) => {
    if (publicDocuments.has(request.routeOptions.url ?? request.url)) {
      // Never with credentials, so an answer made for one user cannot leak through it.
      reply.header('access-control-allow-origin', '*')
      if (isPreflight(request)) respondToPreflight(request, reply, 'GET, HEAD')
      else done()
      return
    }
    // Also when there is no Origin: a cache must not give that answer to a page.
    reply.header('vary', 'Origin')
    const origin = request.headers.origin
    if (origin === undefined || !origins.has(origin)) {
      // The browser shows the page nothing but a network error; whoever looks into it finds the reason here.
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
