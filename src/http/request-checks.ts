import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { isLoopback } from '../../packages/verifier/src/wire.ts'
import type { AppError } from '../lib/app-error.ts'
import type { Random } from '../lib/machine.ts'
import { prefersHtml } from './accept.ts'
import { httpErrors } from './errors.ts'
import { html, type Page } from './page.ts'

/**
 * Sent with every answer (OWASP ASVS 5.0, 3.4.1 and 3.4.3-3.4.6). Answers here are data, never pages, so the content
 * policy allows nothing: should a browser ever render one, it runs and loads nothing and cannot be framed.
 */
export const securityHeaders = {
  'strict-transport-security': 'max-age=63072000; includeSubDomains',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
  'cross-origin-resource-policy': 'same-origin',
  // Answers carry tokens and personal data. Public documents overwrite this one in their handlers.
  'cache-control': 'no-store',
} as const

/** Set before anything can fail, so that errors carry them too. */
export const addSecurityHeaders: OnEveryRequest = (_request, reply) => {
  reply.headers(securityHeaders)
}

export const requestIdHeader = 'x-request-id'

/** 16 random bytes, base64url. Never taken from the client: it could write another request's id into our log. */
export const newRequestId = (random: Random): string => random(16).toString('base64url')

export const requestIds = (random: Random) =>
  function nextRequestId(): string {
    return newRequestId(random)
  }

/** Every answer names its request, so that a user's report leads to the log entry. */
export const echoRequestId: OnEveryRequest = (request, reply) => {
  reply.header(requestIdHeader, request.id)
}

/** Something that is done with every request before its body is read; to refuse the request it throws. */
export type OnEveryRequest = (request: FastifyRequest, reply: FastifyReply) => void

/**
 * Does these in their order, in one hook that is not async: a hook of its own and a promise for each would cost more than what they
 * do.
 */
export const onEveryRequest = (app: FastifyInstance, acts: readonly OnEveryRequest[]): void => {
  app.addHook('onRequest', (request, reply, done) => {
    for (const act of acts) act(request, reply)
    done()
  })
}

const maxUrlLength = 2048

/**
 * Headers that may stand once. Node keeps the first `Host` and `Authorization` and joins `DPoP` lines, a proxy may
 * keep the last: the two would then decide about different requests (RFC 9112 section 3.2).
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

/** Names stand at the even places of `rawHeaders`, values at the odd ones. */
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

/** A full URL as the target is legal; naming another host than `Host` does is an attempt to be read two ways. */
const targetAgreesWithHost = (target: string, host: string): boolean => {
  if (target.startsWith('/') || target === '*') return true
  const authority = /^https?:\/\/([^/?#]*)(?:[/?#]|$)/i.exec(target)?.[1]
  return authority !== undefined && authority.toLowerCase() === host.toLowerCase()
}

/** HTTP/1.0 knows no `Host`, and `option httpchk` of HAProxy speaks it. No host decides about a health check. */
const needsNoHost = (request: FastifyRequest): boolean =>
  request.raw.httpVersion === '1.0' && isHealthCheck(request)

const refuse = (detail: string): never => {
  throw httpErrors.error('invalid_request', { detail })
}

/** Refuses requests that a proxy in front could have read differently, and addresses over 2 KiB. */
export const refuseAmbiguousRequests: OnEveryRequest = (request) => {
  const target = request.raw.url ?? ''
  if (target.length > maxUrlLength) throw httpErrors.error('uri_too_long')
  const repeated = firstRepeated(request.raw.rawHeaders)
  if (repeated !== undefined) refuse(`The header ${repeated} was sent more than once.`)
  const host = request.raw.headers.host
  // Node's own check answers without our headers, so it is off.
  if (host !== undefined) {
    if (!targetAgreesWithHost(target, host)) refuse('The address names another host.')
  } else if (!needsNoHost(request)) refuse('The header host is missing.')
}

/** Load balancers ask from inside, and carry nothing. */
const isHealthCheck = ({ url }: Pick<FastifyRequest, 'url'>): boolean => url.startsWith('/health/')

/** Traefik writes `wss` for a WebSocket that came over TLS. */
const isOverTls = ({ protocol }: Pick<FastifyRequest, 'protocol'>): boolean =>
  /^(https|wss)$/i.test(protocol)

/**
 * Whether the browser keeps the `Secure` cookies of a response: over TLS and, in most browsers, from its own machine. Browsers send
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
 * Refuses requests that did not come over TLS, by the word of a trusted proxy. No redirect: the client has sent its
 * secret in the clear already, and a redirect would hide that.
 */
export const requireHttps: OnEveryRequest = (request) => {
  if (isOverTls(request) || isHealthCheck(request)) return
  throw httpErrors.error('https_required')
}

/**
 * The parser takes twice as much as is let in. What lies between the two is refused as every other request is: the connection stays in
 * order, so a proxy passes the response on, and it is known whether a person asked. Beyond it the parser gives up in the middle.
 */
export const parserLimit = (maxHeaderBytes: number): number => 2 * maxHeaderBytes

/** A colon and a blank behind a name, the end of the line behind a value. */
const separatorBytes = 2

/** Refuses requests whose request line and headers are longer. */
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

/** The page for somebody who cannot get further by themselves; nothing for programs, and for every other error. */
export const headersTooLargePage = (
  { code }: AppError,
  accept: string | undefined,
): Page | undefined => (code === 'headers_too_large' && prefersHtml(accept) ? page : undefined)

/**
 * What a request that was not parsed to its end says in `Accept`, as far as the last packet of it tells: browsers write that header before
 * their cookies.
 */
export const acceptIn = (packet: unknown): string | undefined =>
  Buffer.isBuffer(packet) ? /^accept:([^\r\n]*)/im.exec(packet.toString('latin1'))?.[1] : undefined

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers without asking what time it is, so it does not wait until that is known. */
    timeless?: boolean
  }
}

export type TimeOptions = {
  readonly time: {
    readonly nowMs: () => number
    /** By how much the machine's wall clock is ahead of that, milliseconds. */
    readonly aheadMs: () => number
    /** What to wait for before anything is decided by time; usually nothing. Rejects with an `AppError` of status 503. */
    readonly settle: () => Promise<void> | undefined
  }
}

/** `Date` (RFC 9110 section 6.6.1) has whole seconds; Node writes the wall clock's. */
const visibleMs = 1_000

/** Verifiers compare their clock with `Date`, so it must tell the time that decides and not that of a wall clock that is wrong. */
export const correctDate = ({ time }: TimeOptions): OnEveryRequest =>
  function correctDate(_request, reply) {
    if (Math.abs(time.aheadMs()) < visibleMs) return
    reply.header('date', new Date(time.nowMs()).toUTCString())
  }

/** After a suspension of the machine, requests wait until its clock has been compared with Postgres's again. */
export const awaitRightTime = (app: FastifyInstance, { time }: TimeOptions): void => {
  app.addHook('onRequest', (request, _reply, done) => {
    const settling = request.routeOptions.config.timeless ? undefined : time.settle()
    if (settling === undefined) done()
    else settling.then(() => done(), done)
  })
}
