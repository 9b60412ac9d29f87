import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import {
  type FastifyBaseLogger,
  type FastifyInstance,
  fastify,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
  type RawServerDefault,
} from 'fastify'
import { type AccessOptions, guardAccess } from './access.ts'
import { closeGracefully } from './closing.ts'
import { shareAcrossOrigins } from './cors.ts'
import { limitAnswerTime } from './deadline.ts'
import { answerFailures } from './failures.ts'
import { readFormBodies, requireForm } from './form-body.ts'
import { requireHttps } from './https-only.ts'
import { readJsonBodies, requireJson } from './json-body.ts'
import { answerUnroutedRequests } from './methods.ts'
import { oauthErrorSchema } from './oauth-errors.ts'
import { onEveryRequest } from './on-every-request.ts'
import { describeApi, type OpenApiOptions } from './openapi.ts'
import { originList } from './origins.ts'
import { problemSchema } from './problem.ts'
import { createRawAnswers } from './raw-answers.ts'
import { echoRequestId } from './request-id.ts'
import { refuseAmbiguousRequests } from './request-line.ts'
import { awaitRightTime, correctDate, type TimeOptions } from './right-time.ts'
import { refuseForeignSites } from './same-site.ts'
import { addSecurityHeaders } from './security-headers.ts'
import {
  defaultTimeouts,
  type HttpTimeouts,
  type ServerOptions,
  serverOptions,
} from './server-options.ts'
import { dropGoneAfterStall } from './stalls.ts'
import { dropPipelines, followTraffic } from './traffic.ts'

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
    /** Web origins besides the issuer's whose pages may call the service. */
    readonly allowedOrigins: readonly string[]
    readonly timeouts?: Partial<HttpTimeouts>
  }

/**
 * The edge without routes. Hooks run in the order they are added: what every answer carries, then what refuses a
 * request by its outside, then who calls; the body is read after all of them.
 *
 * @throws {TypeError} for an origin, issuer or proxy address that is none
 */
export const createHttpServer = async (options: HttpServerOptions): Promise<HttpServer> => {
  const traffic = followTraffic()
  const rawAnswers = createRawAnswers(options.random, traffic)
  const timeouts = { ...defaultTimeouts, ...options.timeouts }
  const app = fastify(serverOptions(options, timeouts, rawAnswers, traffic))
  const origins = originList(options.issuer, options.allowedOrigins)
  rawAnswers.attach(app.server)
  // Node drops headers past a number without a word, and a check on the rest would prove nothing; the bytes are limited.
  app.server.maxHeadersCount = 0

  app.addSchema(problemSchema)
  app.addSchema(oauthErrorSchema)
  answerFailures(app, options.log)
  limitAnswerTime(app, traffic, timeouts)
  readJsonBodies(app)
  readFormBodies(app)
  // Declared now, or each request would get a new hidden class when `cookiesOf` sets it.
  app.decorateRequest('cookiesRead')
  dropPipelines(app, traffic)
  onEveryRequest(app, [
    (_request, reply) => traffic.begin(reply),
    echoRequestId,
    addSecurityHeaders,
    correctDate(options),
    closeGracefully(app, timeouts.closeMs),
    refuseAmbiguousRequests,
    ...(options.production ? [requireHttps] : []),
  ])
  dropGoneAfterStall(app, options.log)
  shareAcrossOrigins(app, origins)
  onEveryRequest(app, [refuseForeignSites(origins), requireJson, requireForm])
  answerUnroutedRequests(app)
  awaitRightTime(app, options)
  guardAccess(app, options)
  await describeApi(app, options)
  return app.withTypeProvider<TypeBoxTypeProvider>()
}
