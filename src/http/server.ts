import type { Server } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import {
  type FastifyBaseLogger,
  type FastifyHttpOptions,
  type FastifyInstance,
  fastify,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
  type RawServerDefault,
} from 'fastify'
import type { Random } from '../lib/machine.ts'
import { type AccessOptions, guardAccess } from './access.ts'
import { basePathOf, stripBasePath } from './base-path.ts'
import {
  readFormBodies,
  readJsonBodies,
  requireContentType,
  schemaCompilersOnDemand,
} from './bodies.ts'
import {
  originList,
  refuseForeignPages,
  registerCookies,
  shareAcrossOrigins,
} from './browser-requests.ts'
import { type ClientErrors, clientErrorResponses } from './client-errors.ts'
import { trustedHops, warnOfProxies } from './client-facts.ts'
import { problemSchema } from './errors.ts'
import { answerFailures, sendProblem } from './failures.ts'
import type { Log } from './log.ts'
import { answerUnroutedRequests, knownPaths } from './not-found.ts'
import { oauthErrorSchema } from './oauth-errors.ts'
import { describeApi, type OpenApiOptions } from './openapi.ts'
import type { Brand } from './page.ts'
import {
  addSecurityHeaders,
  awaitRightTime,
  correctDate,
  echoRequestId,
  limitHeaders,
  onEveryRequest,
  parserLimit,
  refuseAmbiguousRequests,
  requestIdHeader,
  requestIds,
  requireHttps,
  securityHeaders,
  type TimeOptions,
} from './request-checks.ts'
import {
  beginExchange,
  closeGracefully,
  defaultTimeouts,
  dropGoneAfterStall,
  dropPipelines,
  type HttpTimeouts,
  type InFlightRequests,
  limitAnswerTime,
  trackInFlightRequests,
} from './server-lifecycle.ts'

const maxBodyBytes = 8 * 1024

export type ServerOptions = {
  readonly log: Log
  /** CIDRs of the proxies whose `X-Forwarded-*` headers are believed; none: nobody's are. */
  readonly trustedProxies: readonly string[]
  /** Of the request line and all headers. */
  readonly maxHeaderBytes: number
  readonly random: Random
}

/** Everything the framework leaves open by default is closed here. */
const serverOptions = (
  options: ServerOptions,
  timeouts: HttpTimeouts,
  clientErrors: ClientErrors,
  inFlight: InFlightRequests,
): FastifyHttpOptions<Server> => ({
  // Its request lines would hold addresses with whatever secrets clients put in their queries, and a logger of its own for each
  // request costs as much as a line of ours.
  logger: false,
  genReqId: requestIds(options.random),
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
    maxHeaderSize: parserLimit(options.maxHeaderBytes),
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
      // A test validates every schema of the table; doing it at each start costs a tenth of its processor time.
      meta: false,
      validateSchema: false,
    },
  },
  schemaController: { compilersFactory: schemaCompilersOnDemand() },
  clientErrorHandler: clientErrors.onClientError,
  // Addresses the router cannot read; no hook has run for them.
  frameworkErrors: (error, request, reply) => {
    inFlight.begin(reply)
    reply.headers(securityHeaders).header(requestIdHeader, request.id)
    sendProblem(reply, options.log, error)
  },
})

/** The app that features mount their routes on; request and answer types come from the routes' schemas. */
export type HttpServer = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

export type HttpServerOptions = ServerOptions &
  AccessOptions &
  TimeOptions &
  OpenApiOptions & {
    /** Refuses what did not come over TLS. */
    readonly production: boolean
    /** For pages that no route sends. Left out: none. */
    readonly brand?: Brand
    /** Web origins besides the issuer's whose pages may call the service. */
    readonly allowedOrigins: readonly string[]
    readonly timeouts?: Partial<HttpTimeouts>
    /** Aborted when the process was asked to stop, and still takes new connections. */
    readonly draining?: AbortSignal
  }

/**
 * The edge without routes. Hooks run in the order they are added: what every answer carries, then what refuses a
 * request by its outside, then who calls; the body is read after all of them.
 *
 * @throws {TypeError} for an origin, issuer or proxy address that is none
 */
export const createHttpServer = async (options: HttpServerOptions): Promise<HttpServer> => {
  const inFlight = trackInFlightRequests()
  const clientErrors = clientErrorResponses(options.random, inFlight)
  const timeouts = { ...defaultTimeouts, ...options.timeouts }
  const paths = knownPaths()
  const basePath = basePathOf(options.issuer)
  const app = fastify({
    ...serverOptions(options, timeouts, clientErrors, inFlight),
    ...(basePath !== '' && { rewriteUrl: stripBasePath(basePath, paths) }),
  })
  const origins = originList(options.issuer, options.allowedOrigins)
  clientErrors.attach(app.server)
  // Node drops headers past a number without a word, and a check on the rest would prove nothing; the bytes are limited.
  app.server.maxHeadersCount = 0

  app.addSchema(problemSchema)
  app.addSchema(oauthErrorSchema)
  answerFailures(app, options.log)
  limitAnswerTime(app, inFlight, timeouts)
  readJsonBodies(app)
  readFormBodies(app)
  // Declared now, or each request would get a new hidden class when `cookiesOf` sets it.
  app.decorateRequest('cookiesRead')
  app.decorateRequest('isFromOtherSite', false)
  app.decorate('cookieDomain', options.cookieDomain)
  app.decorate('knownPaths', paths)
  app.decorate('brand', options.brand ?? { name: undefined, logo: undefined })
  dropPipelines(app, inFlight)
  warnOfProxies(app, options)
  onEveryRequest(app, [
    beginExchange(inFlight),
    echoRequestId,
    addSecurityHeaders,
    correctDate(options),
    limitHeaders(options.maxHeaderBytes),
    closeGracefully(app, options.draining, timeouts.closeMs),
    refuseAmbiguousRequests,
    ...(options.production ? [requireHttps] : []),
  ])
  dropGoneAfterStall(app, options.log)
  shareAcrossOrigins(app, origins)
  onEveryRequest(app, [refuseForeignPages(origins), requireContentType])
  answerUnroutedRequests(app, paths)
  awaitRightTime(app, options)
  guardAccess(app, options)
  await registerCookies(app)
  await describeApi(app, options)
  return app.withTypeProvider<TypeBoxTypeProvider>()
}
