import { type Static, Type } from 'typebox'
import { type AppError, defineErrors } from '../lib/app-error.ts'

/** Errors of a request that are found before a feature sees it. */
export const httpErrors = defineErrors({
  invalid_request: {
    status: 400,
    title: 'The request does not have the form that this endpoint requires.',
  },
  duplicate_cookie: { status: 400, title: 'A cookie of this service was sent more than once.' },
  missing_token: { status: 401, title: 'This endpoint needs an access token.' },
  missing_session: { status: 401, title: 'This endpoint needs a session cookie.' },
  missing_credentials: {
    status: 401,
    title: 'This endpoint needs the credentials of a service client.',
  },
  invalid_client: {
    status: 401,
    title: 'These are not the credentials of an enabled service client.',
  },
  insufficient_scope: { status: 403, title: 'The access token does not allow this.' },
  forbidden_origin: { status: 403, title: 'Requests from this web origin are not allowed.' },
  cross_site_origin: {
    status: 403,
    title: 'A page of another site cannot use the cookies of this service.',
  },
  https_required: { status: 403, title: 'This service is reached over HTTPS only.' },
  not_found: { status: 404, title: 'There is nothing at this address.' },
  method_not_allowed: { status: 405, title: 'This address does not support this method.' },
  request_timeout: { status: 408, title: 'The request did not arrive in time.' },
  payload_too_large: { status: 413, title: 'The request body is too large.' },
  uri_too_long: { status: 414, title: 'The request address is too long.' },
  unsupported_media_type: {
    status: 415,
    title: 'The request must be application/json in UTF-8, not compressed.',
  },
  expectation_failed: { status: 417, title: 'The expectation of the request cannot be met.' },
  headers_too_large: { status: 431, title: 'The request headers are too large.' },
  internal_error: { status: 500, title: 'Something went wrong inside the service.' },
  service_unavailable: {
    status: 503,
    title: 'The service cannot respond to this request now. Try again.',
  },
})

export const problemMediaType = 'application/problem+json'

/** RFC 9457. Programs branch on `code`; `reason` says why a session ended; `request_id` finds the log lines. */
export const problemSchema = Type.Object(
  {
    type: Type.String({ description: '`urn:cardea:problem:` and the code' }),
    title: Type.String({ description: 'One sentence, always the same for this code' }),
    status: Type.Integer(),
    code: Type.String({ description: 'Stable; branch on this member only' }),
    detail: Type.Optional(Type.String({ description: 'More about this occurrence, for people' })),
    reason: Type.Optional(Type.String({ description: 'Why the session ended' })),
    request_id: Type.String(),
  },
  { $id: 'Problem', description: 'Why a request was refused (RFC 9457)' },
)

type Problem = Static<typeof problemSchema>

/** The public part of an error, without its cause. */
export const problemOf = (error: AppError, requestId: string): Problem => ({
  type: `urn:cardea:problem:${error.code}`,
  title: error.title,
  status: error.status,
  code: error.code,
  ...(error.detail !== undefined && { detail: error.detail }),
  ...(error.reason !== undefined && { reason: error.reason }),
  request_id: requestId,
})

type ProblemResponse = {
  readonly description: string
  readonly content: {
    readonly [problemMediaType]: { readonly schema: ReturnType<typeof Type.Ref<'Problem'>> }
  }
}

/** The error responses of a route, for its `schema.response`, so that the API description lists every status. */
export const problemResponses = <Status extends number>(
  ...statuses: readonly Status[]
): Record<Status, ProblemResponse> => {
  const responses = statuses.map((status) => [
    status,
    {
      description: statusText(status) ?? 'Refused',
      content: { [problemMediaType]: { schema: Type.Ref('Problem') } },
    },
  ])
  return Object.fromEntries(responses)
}

/**
 * The phrase of an HTTP status (RFC 9110 section 15), or nothing for an unknown one. An import of `node:http` would also load its lazy
 * exports, including `WebSocket` and a whole HTTP client: 4 MB in every process.
 */
export const statusText = (status: number): string | undefined =>
  process.getBuiltinModule('node:http').STATUS_CODES[status]
