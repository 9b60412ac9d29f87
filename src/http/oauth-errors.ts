import { STATUS_CODES } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import type { AppError } from '../lib/app-error.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * `oauth`: the route speaks to OAuth clients, so it takes form bodies, and refuses as RFC 6749 says. Anything else is JSON and
     * problem details.
     */
    protocol?: 'oauth'
  }
}

/** An address that the router could not read leads to no route, and so to no config. */
export const speaksOauth = (request: FastifyRequest): boolean =>
  request.routeOptions.config?.protocol === 'oauth'

/** RFC 6749 section 5.2. The request id is in the header `x-request-id` only: the members are those of the standard. */
export const oauthErrorSchema = Type.Object(
  {
    error: Type.String({ description: 'A registered code; the one member to branch on' }),
    error_description: Type.Optional(Type.String({ description: 'For people' })),
  },
  { $id: 'OAuthError', description: 'Why a request to an OAuth endpoint was refused (RFC 6749)' },
)

type OauthError = Static<typeof oauthErrorSchema>

/** Registered for the authorization endpoint, and the nearest there is for "not now" and "our fault". */
const serverFault = (status: number): string =>
  status === 503 ? 'temporarily_unavailable' : 'server_error'

/** The codes of OAuth are few: what else is wrong with a request is `invalid_request`, and the status says more. */
const codeOf = ({ code, status }: AppError): string => {
  if (status >= 500) return serverFault(status)
  return code === 'invalid_client' || code === 'missing_credentials'
    ? 'invalid_client'
    : 'invalid_request'
}

/** RFC 6749 section 5.2 allows %x20-21 / %x23-5B / %x5D-7E: printable ASCII but for the quote and the backslash. */
const descriptionOf = (text: string): string =>
  text.replaceAll('"', "'").replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?')

/** The public part of an error, in OAuth's words: never its cause. */
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

/** The refusals of an OAuth route, for its `schema.response`. */
export const oauthErrorResponses = <Status extends number>(
  ...statuses: readonly Status[]
): Record<Status, OauthErrorResponse> => {
  const responses = statuses.map((status) => [
    status,
    {
      description: STATUS_CODES[status] ?? 'Refused',
      content: { 'application/json': { schema: Type.Ref('OAuthError') } },
    },
  ])
  return Object.fromEntries(responses)
}
