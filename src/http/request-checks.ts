import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { isLoopback } from '../../packages/verifier/src/wire.ts'
import type { AppError } from '../lib/app-error.ts'
import type { Random } from '../lib/machine.ts'
import { prefersHtml } from './accept.ts'
import { httpErrors } from './errors.ts'
import { html, type Page } from './page.ts'

/**
 * Sent with every response (OWASP ASVS 5.0, 3.4.1 and 3.4.3-3.4.6). Responses are data, not pages, so the content policy allows nothing: if
 * a browser renders one, it loads and runs nothing and cannot be framed.
 */
export const securityHeaders = {
  'strict-transport-security': 'max-age=63072000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
  'cross-origin-resource-policy': 'same-origin',
  // Responses carry tokens and personal data. Public documents override this header in their handlers.
  'cache-control': 'no-store',
} as const

/** Set before anything can fail, so that error responses carry them too. */
export const addSecurityHeaders: OnEveryRequest = (_request, reply) => {
  reply.headers(securityHeaders)
}

export const requestIdHeader = 'x-request-id'

/** 16 random bytes, base64url. Never taken from the client, which could write the id of another request into the log. */
export const newRequestId = (random: Random): string => random(16).toString('base64url')

export const requestIds = (random: Random) =>
  function nextRequestId(): string {
    return newRequestId(random)
  }

/** Every response carries its request id, so that a user's report leads to the log lines. */
export const echoRequestId: OnEveryRequest = (request, reply) => {
  reply.header(requestIdHeader, request.id)
}

/** Runs for every request before its body is read. It throws to refuse the request. */
export type OnEveryRequest = (request: FastifyRequest, reply: FastifyReply) => void

/** Runs these functions in order, in one synchronous hook: a separate hook and promise for each would cost more than their work. */
export const onEveryRequest = (app: FastifyInstance, acts: readonly OnEveryRequest[]): void => {
  app.addHook('onRequest', (request, reply, done) => {
    for (const act of acts) act(request, reply)
    done()
  })
}

const maxUrlLength = 2048

/**
 * Headers that must not be repeated. Node keeps the first `Host` and `Authorization` and joins `DPoP` lines, while a proxy may keep the
 * last. The two would then decide about different requests (RFC 9112 section 3.2).
 */
const singleHeaders: ReadonlySet<string> = new Set([
  'authorization',
  'content-encoding',
  'content-length',
  'content-type',
  'dpop',
  'host',
  'origin',
  'sec-fetch-site',
  'transfer-encoding',
])

/** `rawHeaders` has names at even indexes and values at odd ones. */
const firstRepeated = (rawHeaders: readonly string[]): string | undefined => {
  const seen = new Set<string>()
  for (let place = 0; place < rawHeaders.length; place += 2) {
    const name = (rawHeaders[place] ?? '').toLowerCase()
    if (!singleHeaders.has(name)) continue
    if (seen.has(name)) return name
    seen.add(name)
  }
  return undefined
}

/** A full URL as the request target is legal. One whose host differs from `Host` tries to be interpreted in two ways. */
const targetAgreesWithHost = (target: string, host: string): boolean => {
  if (target.startsWith('/') || target === '*') return true
  const authority = /^https?:\/\/([^/?#]*)(?:[/?#]|$)/i.exec(target)?.[1]
  return authority !== undefined && authority.toLowerCase() === host.toLowerCase()
}

/** HTTP/1.0 has no `Host`, and `option httpchk` of HAProxy uses it. Health checks do not depend on the host. */
const needsNoHost = (request: FastifyRequest): boolean =>
  request.raw.httpVersion === '1.0' && isHealthCheck(request)

const refuse = (detail: string): never => {
  throw httpErrors.error('invalid_request', { detail })
}

/** Refuses requests that a proxy could have interpreted differently, and addresses over 2 KiB. */
export const refuseAmbiguousRequests: OnEveryRequest = (request) => {
  const target = request.raw.url ?? ''
  if (target.length > maxUrlLength) throw httpErrors.error('uri_too_long')
  const repeated = firstRepeated(request.raw.rawHeaders)
  if (repeated !== undefined) refuse(`The header ${repeated} was sent more than once.`)
  const host = request.raw.headers.host
  // Node's own check responds without our headers, so it is off.
  if (host !== undefined) {
    if (!targetAgreesWithHost(target, host)) refuse('The address names another host.')
  } else if (!needsNoHost(request)) refuse('The header host is missing.')
}

/** Load balancers probe from inside, without forwarding headers. */
const isHealthCheck = ({ url }: Pick<FastifyRequest, 'url'>): boolean => url.startsWith('/health/')

/** Traefik sends `wss` for a WebSocket over TLS. */
const isOverTls = ({ protocol }: Pick<FastifyRequest, 'protocol'>): boolean =>
  /^(https|wss)$/i.test(protocol)

/**
 * Whether the browser stores the `Secure` cookies of a response: over TLS and, in most browsers, on its own machine. Browsers send
 * `Sec-Fetch-Site` only to such an address (Fetch Metadata, section 2), also through a proxy that is not in `TRUSTED_PROXIES`.
 */
export const keepsSecureCookies = (
  request: Pick<FastifyRequest, 'protocol' | 'host' | 'headers'>,
): boolean => {
  if (isOverTls(request) || request.headers['sec-fetch-site'] !== undefined) return true
  const url = `http://${request.host}`
  return URL.canParse(url) && isLoopback(new URL(url).hostname)
}

/**
 * Refuses requests that did not come over TLS according to a trusted proxy. It does not redirect: the client has already sent its secret in
 * the clear, and a redirect would hide that.
 */
export const requireHttps: OnEveryRequest = (request) => {
  if (isOverTls(request) || isHealthCheck(request)) return
  throw httpErrors.error('https_required')
}

/**
 * The parser accepts twice the limit. Requests between the two sizes get a normal error response: the connection stays usable, so a proxy
 * forwards the response, and it can be a page for a person. Beyond it the parser aborts in the middle of the request.
 */
export const parserLimit = (maxHeaderBytes: number): number => 2 * maxHeaderBytes

/** A colon and a space after a name, the line end after a value. */
const separatorBytes = 2

/** Refuses requests whose request line and headers are longer than this. */
export const limitHeaders = (maxBytes: number): OnEveryRequest =>
  function limitHeaders({ raw }, reply) {
    let bytes = (raw.url ?? '').length
    for (const nameOrValue of raw.rawHeaders) bytes += nameOrValue.length + separatorBytes
    if (bytes <= maxBytes) return
    reply.header('connection', 'close')
    throw httpErrors.error('headers_too_large')
  }

const page: Page = {
  title: 'Too many cookies',
  content: html`<h1>Too many cookies</h1>
<p>Your browser sent more data with this request than this service accepts. Almost always the cookies of this site have become too many or too large.</p>
<p>To repair it, delete the cookies of this site in the settings of your browser, then open the page again. You will have to log in again.</p>`,
}

/** The page for a person who must change something in the browser. Nothing for programs and for other errors. */
export const headersTooLargePage = (
  { code }: AppError,
  accept: string | undefined,
): Page | undefined => (code === 'headers_too_large' && prefersHtml(accept) ? page : undefined)

/**
 * The `Accept` header of a request that was not fully parsed, if the last packet has it. Browsers send that header before their cookies.
 */
export const acceptIn = (packet: unknown): string | undefined =>
  Buffer.isBuffer(packet) ? /^accept:([^\r\n]*)/im.exec(packet.toString('latin1'))?.[1] : undefined

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The response does not depend on the time, so it need not wait until the time is known. */
    timeless?: boolean
  }
}

export type TimeOptions = {
  readonly time: {
    readonly nowMs: () => number
    /** How far the wall clock of this machine is ahead of that time, in milliseconds. */
    readonly aheadMs: () => number
    /** What a decision that depends on time must wait for; usually nothing. Rejects with an `AppError` with status 503. */
    readonly settle: () => Promise<void> | undefined
  }
}

/** `Date` (RFC 9110 section 6.6.1) has whole seconds. Node writes that of the wall clock. */
const visibleMs = 1_000

/** Verifiers compare their clock with `Date`, so it must be the time that decides and not that of a wrong wall clock. */
export const correctDate = ({ time }: TimeOptions): OnEveryRequest =>
  function correctDate(_request, reply) {
    if (Math.abs(time.aheadMs()) < visibleMs) return
    reply.header('date', new Date(time.nowMs()).toUTCString())
  }

/** After a suspension of the machine, requests wait until its clock has been compared with that of Postgres again. */
export const awaitRightTime = (app: FastifyInstance, { time }: TimeOptions): void => {
  app.addHook('onRequest', (request, _reply, done) => {
    const settling = request.routeOptions.config.timeless ? undefined : time.settle()
    if (settling === undefined) done()
    else settling.then(() => done(), done)
  })
}
