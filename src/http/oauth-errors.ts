import type { FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import type { AppError } from '../lib/app-error.ts'
import { statusText } from './errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * `oauth`: the route takes form bodies and sends errors in the form of RFC 6749. `page`: it takes the form of an HTML page of this
     * service. Otherwise: JSON and problem details.
     */
    protocol?: 'oauth' | 'page'
  }
}

/** An address that the router cannot parse has no route, and so no config. */
export const speaksOauth = (request: FastifyRequest): boolean =>
  request.routeOptions.config?.protocol === 'oauth'

/** RFC 6749 section 5.2. The request id is only in the header `x-request-id`, because the standard defines the members. */
export const oauthErrorSchema = Type.Object(
  {
    error: Type.String({ description: 'A registered code; branch on this member only' }),
    error_description: Type.Optional(Type.String({ description: 'For people' })),
  },
  { $id: 'OAuthError', description: 'Why a request to an OAuth endpoint was refused (RFC 6749)' },
)

type OauthError = Static<typeof oauthErrorSchema>

/** These codes are registered for the authorization endpoint. They are the closest ones for "try later" and "server fault". */
const serverFault = (status: number): string =>
  status === 503 || status === 429 ? 'temporarily_unavailable' : 'server_error'

/** RFC 6749 section 5.2, RFC 7009 section 2.2.1, RFC 8707 section 2: errors with these codes keep their code. */
const registered: ReadonlySet<string> = new Set([
  'invalid_client',
  'invalid_grant',
  'invalid_scope',
  'invalid_target',
  'unauthorized_client',
  'unsupported_grant_type',
  'unsupported_token_type',
])

/** OAuth has few codes. Other request errors become `invalid_request`, and the status gives the details. */
const codeOf = ({ code, status }: AppError): string => {
  if (status >= 500 || status === 429) return serverFault(status)
  if (code === 'missing_credentials') return 'invalid_client'
  return registered.has(code) ? code : 'invalid_request'
}

/** RFC 6749 section 5.2 allows %x20-21 / %x23-5B / %x5D-7E: printable ASCII without the quote and the backslash. */
const descriptionOf = (text: string): string =>
  text.replaceAll('"', "'").replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?')

/** The public part of an error in the form of OAuth, without its cause. */
export const oauthErrorOf = (error: AppError): OauthError => ({
  error: codeOf(error),
  error_description: descriptionOf(error.detail ?? error.title),
})

type OauthErrorResponse = {
  readonly description: string
  readonly content: {
    readonly 'application/json': { readonly schema: ReturnType<typeof Type.Ref<'OAuthError'>> }
  }
}

/** The error responses of an OAuth route, for its `schema.response`. */
export const oauthErrorResponses = <Status extends number>(
  ...statuses: readonly Status[]
): Record<Status, OauthErrorResponse> => {
  const responses = statuses.map((status) => [
    status,
    {
      description: statusText(status) ?? 'Refused',
      content: { 'application/json': { schema: Type.Ref('OAuthError') } },
    },
  ])
  return Object.fromEntries(responses)
}
