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
import { handleFailures, sendProblem } from './failures.ts'
import type { Log } from './log.ts'
import { handleUnroutedRequests, knownPaths } from './not-found.ts'
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
  limitResponseTime,
  trackInFlightRequests,
} from './server-lifecycle.ts'

const maxBodyBytes = 8 * 1024

export type ServerOptions = {
  readonly log: Log
  /** CIDRs of the proxies whose `X-Forwarded-*` headers are trusted. Empty: none. */
  readonly trustedProxies: readonly string[]
  /** Limit for the request line and all headers together. */
  readonly maxHeaderBytes: number
  readonly random: Random
}

/** Closes what Fastify leaves open by default. */
const serverOptions = (
  options: ServerOptions,
  timeouts: HttpTimeouts,
  clientErrors: ClientErrors,
  inFlight: InFlightRequests,
): FastifyHttpOptions<Server> => ({
  // Its request lines would contain addresses with secrets from queries, and a child logger for each request costs as much as writing a
  // line.
  logger: false,
  genReqId: requestIds(options.random),
  requestIdHeader: false,
  // Only addresses on a list: `true` would trust the X-Forwarded-For of any client.
  trustProxy: options.trustedProxies.length > 0 ? trustedHops(options.trustedProxies) : false,
  bodyLimit: maxBodyBytes,
  requestTimeout: timeouts.requestMs,
  connectionTimeout: timeouts.idleMs,
  keepAliveTimeout: timeouts.keepAliveMs,
  forceCloseConnections: 'idle',
  // `closeGracefully` handles requests while the server closes.
  return503OnClosing: false,
  http: {
    maxHeaderSize: parserLimit(options.maxHeaderBytes),
    headersTimeout: timeouts.headersMs,
    connectionsCheckingInterval: timeouts.checkEveryMs,
    insecureHTTPParser: false,
    // `refuseAmbiguousRequests` refuses a missing Host with a problem response.
    requireHostHeader: false,
  },
  // The whole address has a length limit, and schemas refuse longer parameters.
  routerOptions: { maxParamLength: 2048 },
  ajv: {
    customOptions: {
      // The defaults turn null into "", turn 12345 into "12345" and silently drop unknown members.
      coerceTypes: false,
      removeAdditional: false,
      allErrors: false,
      // A test validates every schema of the route table. Validating them at each start would only slow it down.
      meta: false,
      validateSchema: false,
    },
  },
  schemaController: { compilersFactory: schemaCompilersOnDemand() },
  clientErrorHandler: clientErrors.onClientError,
  // Addresses that the router cannot parse. No hook has run for them.
  frameworkErrors: (error, request, reply) => {
    inFlight.begin(reply)
    reply.headers(securityHeaders).header(requestIdHeader, request.id)
    sendProblem(reply, options.log, error)
  },
})

/** The app on which features mount their routes. Request and response types come from the schemas of the routes. */
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
    /** Refuses requests that did not come over TLS. */
    readonly production: boolean
    /** For the HTML error pages of the server itself. Left out: no brand. */
    readonly brand?: Brand
    /** Web origins whose pages may call the service, besides that of the issuer. */
    readonly allowedOrigins: readonly string[]
    readonly timeouts?: Partial<HttpTimeouts>
    /** Aborted when the process received a stop signal but still accepts connections. */
    readonly draining?: AbortSignal
  }

/**
 * The HTTP server without routes. The order of the hooks matters: first the headers of every response, then the checks of the request's
 * outer form, then the access check. The body is read after all of them.
 *
 * @throws {TypeError} for an invalid origin, issuer or proxy address
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
  // Above a number, Node silently drops headers, and checks of the remaining ones would prove nothing. The size in bytes is limited
  // instead.
  app.server.maxHeadersCount = 0

  app.addSchema(problemSchema)
  app.addSchema(oauthErrorSchema)
  handleFailures(app, options.log)
  limitResponseTime(app, inFlight, timeouts)
  readJsonBodies(app)
  readFormBodies(app)
  // Declared now, because `cookiesOf` would otherwise give each request a new hidden class.
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
  handleUnroutedRequests(app, paths)
  awaitRightTime(app, options)
  guardAccess(app, options)
  await registerCookies(app)
  await describeApi(app, options)
  return app.withTypeProvider<TypeBoxTypeProvider>()
}
