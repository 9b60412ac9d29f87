import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../lib/app-error.ts'
import { idPattern } from '../lib/machine.ts'
import { clientFacts } from './client-facts.ts'
import { httpErrors, problemMediaType, problemOf } from './errors.ts'
import type { Log } from './log.ts'
import { unknownPathPage } from './not-found.ts'
import { oauthErrorOf, speaksOauth } from './oauth-errors.ts'
import { sendPage } from './page.ts'
import { exactCause, isRefusalOfAuthority } from './refusal-log.ts'
import { headersTooLargePage } from './request-checks.ts'

/**
 * Sends an HTML page instead of the problem response to a person who used a page of this service, also for errors before the handler.
 * Returns false, and sends nothing, for a request that is not from a page. The status and `Retry-After` are set already. Must not throw.
 */
type RefusalPage = (refusal: AppError, request: FastifyRequest, reply: FastifyReply) => boolean

declare module 'fastify' {
  interface FastifyContextConfig {
    refusalPage?: RefusalPage
  }
}

/** The used part of a schema violation. */
type Violation = {
  readonly keyword: string
  readonly instancePath: string
  readonly message?: string
  readonly params: { readonly [name: string]: unknown }
}

/** Longer or unusual names are not repeated: a client may have put a secret where the name belongs. */
const plainName = /^[A-Za-z0-9_.-]{1,64}$/

const named = (name: unknown): string =>
  typeof name === 'string' && plainName.test(name) ? ` "${name}"` : ''

/** Names the member and the rule, never the value, because values here are passwords and tokens. */
const describe = (violation: Violation, permitted: readonly string[], part: string): string => {
  const place = `${part}${violation.instancePath.replaceAll('/', '.')}`
  const { missingProperty, additionalProperty } = violation.params
  if (violation.keyword === 'required') return `${place} lacks the member${named(missingProperty)}.`
  if (violation.keyword === 'additionalProperties') {
    return `${place} has an unknown member${named(additionalProperty)}.`
  }
  if (permitted.length > 0) return `${place} must be ${permitted.join(' or ')}.`
  if (violation.params['pattern'] === idPattern) return `${place} is not an id.`
  return `${place} ${violation.message ?? 'is not valid'}.`
}

/** A member with several permitted values breaks one rule for each of them. The values come from the schema, not from the client. */
const permittedAt = (
  { instancePath: place }: Violation,
  violations: readonly Violation[],
): readonly string[] =>
  violations
    .filter(({ keyword, instancePath }) => keyword === 'const' && instancePath === place)
    .map(({ params }) => JSON.stringify(params['allowedValue']))

const isViolation = (value: unknown): value is Violation =>
  typeof value === 'object' && value !== null && 'instancePath' in value && 'params' in value

const property = (error: unknown, name: string): unknown =>
  typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined

const violationOf = (error: unknown): AppError | undefined => {
  const validation = property(error, 'validation')
  const violations = Array.isArray(validation) ? validation.filter(isViolation) : []
  const [first] = violations
  if (first === undefined) return undefined
  const part = String(property(error, 'validationContext') ?? 'request')
  return httpErrors.error('invalid_request', {
    detail: describe(first, permittedAt(first, violations), part),
  })
}

/** Maps Fastify's own errors to errors of this API. Fastify's codes and texts are not part of it. */
const fromFramework: Readonly<Record<string, () => AppError>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () => httpErrors.error('payload_too_large'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => httpErrors.error('unsupported_media_type'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () => httpErrors.error('invalid_request'),
  FST_ERR_BAD_URL: () => httpErrors.error('invalid_request'),
  FST_ERR_MAX_PARAM_LENGTH: () => httpErrors.error('uri_too_long'),
}

/** Maps anything thrown to an error that may be shown. Unexpected errors become `internal_error`. */
const asAppError = (error: unknown): AppError => {
  if (error instanceof AppError) return error
  const violation = violationOf(error)
  if (violation !== undefined) return violation
  const code = String(property(error, 'code'))
  const known = Object.hasOwn(fromFramework, code) ? fromFramework[code] : undefined
  if (known !== undefined) return known()
  // The client disconnected in the middle of its body. Only the body reader sets this status.
  if (code === 'ECONNRESET' && property(error, 'statusCode') === 400) {
    return httpErrors.error('invalid_request')
  }
  return httpErrors.error('internal_error', { cause: error })
}

/** Logs the pattern of the route, because a client may have put a secret into the address by mistake. */
const recordRefusal = (log: Log, request: FastifyRequest, error: AppError): void => {
  const fields = {
    request_id: request.id,
    route: `${request.method} ${request.routeOptions.url ?? '-'}`,
    account: request.caller?.accountId,
    why: exactCause(error),
  }
  log.refusal({ kind: error.code, address: clientFacts(request).address, fields })
}

/** Logs the exact cause once. A 5xx is a fault of the service and may page somebody. */
const record = (log: Log, request: FastifyRequest, error: AppError): void => {
  const { code, status } = error
  const fields = { request_id: request.id, code, status, err: error.cause ?? error }
  if (error.status >= 500) log.error(fields, 'request failed')
  else log.debug(fields, 'request refused')
  if (isRefusalOfAuthority(error)) recordRefusal(log, request, error)
}

/** Sends the error as RFC 9457 problem details, or in OAuth's own form on OAuth routes, and logs it. */
export const sendProblem = (reply: FastifyReply, log: Log, thrown: unknown): FastifyReply => {
  const error = asAppError(thrown)
  record(log, reply.request, error)
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', error.retryAfterSeconds)
  reply.code(error.status)
  const page =
    headersTooLargePage(error, reply.request.headers.accept) ??
    unknownPathPage(error, reply.request)
  if (page) return sendPage(reply, { ...page, brand: reply.server.brand })
  if (reply.request.routeOptions.config?.refusalPage?.(error, reply.request, reply)) return reply
  const isOauth = speaksOauth(reply.request)
  return (
    reply
      .header('content-type', isOauth ? 'application/json; charset=utf-8' : problemMediaType)
      // Overrides the header of a public document, which would keep the failure in caches.
      .header('cache-control', 'no-store')
      .serializer(JSON.stringify)
      .send(isOauth ? oauthErrorOf(error) : problemOf(error, reply.request.id))
  )
}

/** Installs the error handlers. Whatever goes wrong, the request is denied and the process stays alive. */
export const handleFailures = (app: FastifyInstance, log: Log): void => {
  app.setErrorHandler((error, _request, reply) => sendProblem(reply, log, error))
}
