import type { Server } from 'node:http'
import type { FastifyHttpOptions } from 'fastify'
import type { Random } from '../lib/random.ts'
import { sendProblem } from './failures.ts'
import type { Log } from './log.ts'
import type { RawAnswers } from './raw-answers.ts'
import { newRequestId, requestIdHeader } from './request-id.ts'
import { securityHeaders } from './security-headers.ts'
import type { Traffic } from './traffic.ts'
import { trustedHops } from './trusted-peers.ts'

const maxBodyBytes = 8 * 1024
const maxHeaderBytes = 16 * 1024

/** Milliseconds after which a client that does not go on is dropped. All finite: the default is to wait for ever. */
export type HttpTimeouts = {
  /** From the first byte (or the opening) to the end of the headers. */
  readonly headersMs: number
  /** From the first byte to the end of the body. */
  readonly requestMs: number
  /** From the end of the headers to the answer; longer than `requestMs`, so that a slow body is the client's fault. */
  readonly answerMs: number
  /** Without a byte in either direction. */
  readonly idleMs: number
  /** Between two requests of a connection; longer than the minute after which most proxies close theirs. */
  readonly keepAliveMs: number
  /** From the order to close to the end of the last connection. */
  readonly closeMs: number
  /** How often connections are held against these limits. */
  readonly checkEveryMs: number
}

export const defaultTimeouts: HttpTimeouts = {
  headersMs: 5_000,
  requestMs: 10_000,
  answerMs: 15_000,
  idleMs: 30_000,
  keepAliveMs: 65_000,
  closeMs: 15_000,
  checkEveryMs: 1_000,
}

export type ServerOptions = {
  readonly log: Log
  /** CIDRs of the proxies whose `X-Forwarded-*` headers are believed; none: nobody's are. */
  readonly trustedProxies: readonly string[]
  readonly random: Random
}

/** Everything the framework leaves open by default is closed here. */
export const serverOptions = (
  options: ServerOptions,
  timeouts: HttpTimeouts,
  rawAnswers: RawAnswers,
  traffic: Traffic,
): FastifyHttpOptions<Server> => ({
  // Its request lines would hold addresses with whatever secrets clients put in their queries, and a logger of its own for each
  // request costs as much as a line of ours.
  logger: false,
  genReqId: () => newRequestId(options.random),
  requestIdHeader: false,
  // Only addresses on a list: `true` would believe any client's X-Forwarded-For.
  trustProxy: options.trustedProxies.length > 0 ? trustedHops(options.trustedProxies) : false,
  bodyLimit: maxBodyBytes,
  requestTimeout: timeouts.requestMs,
  connectionTimeout: timeouts.idleMs,
  keepAliveTimeout: timeouts.keepAliveMs,
  forceCloseConnections: 'idle',
  // closing.ts refuses them in our own form.
  return503OnClosing: false,
  http: {
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: timeouts.headersMs,
    connectionsCheckingInterval: timeouts.checkEveryMs,
    insecureHTTPParser: false,
    // request-line.ts refuses a missing Host in our own form.
    requireHostHeader: false,
  },
  // The length of the whole address is limited; a longer parameter is for its schema to refuse.
  routerOptions: { maxParamLength: 2048 },
  ajv: {
    customOptions: {
      // The defaults turn null into "", 12345 into "12345" and drop unknown members in silence.
      coerceTypes: false,
      removeAdditional: false,
      allErrors: false,
    },
  },
  clientErrorHandler: rawAnswers.onClientError,
  // Addresses the router cannot read; no hook has run for them.
  frameworkErrors: (error, request, reply) => {
    traffic.begin(reply)
    reply.headers(securityHeaders).header(requestIdHeader, request.id)
    sendProblem(reply, options.log, error)
  },
})
