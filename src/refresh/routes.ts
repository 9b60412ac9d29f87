import { Type } from 'typebox'
import type { AuditPseudonym } from '../audit/index.ts'
import { setCookies } from '../http/browser-requests.ts'
import { clientFacts } from '../http/client-facts.ts'
import { problemResponses } from '../http/errors.ts'
import type { Log } from '../http/log.ts'
import { defineRoute, type Route } from '../http/route.ts'
import {
  expiredRefreshCookie,
  expiredSealedCookies,
  parseScope,
  presentedHandle,
  presentedTokenSchema,
  type SealedResponse,
  sessionErrors,
  tokenResponse,
  tokenResponseSchema,
} from '../sessions/index.ts'
import type { RequestedGrant } from './decide-refresh.ts'
import type { RefreshSession } from './refresh-session.ts'

const refreshBody = Type.Object(
  {
    ...presentedTokenSchema,
    audience: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 512,
        description: 'The audience of the access token: one of those of the login',
      }),
    ),
    scope: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 512,
        description: 'The maximum scope of the access token, separated by single spaces',
      }),
    ),
  },
  { additionalProperties: false },
)

/**
 * One object instead of a union, which would slow down the refresh of a token session. All members are optional. The required ones come
 * first, because people look for the token there.
 */
const refreshResponseSchema = Type.Partial(tokenResponseSchema)

const refreshSchema = {
  summary: 'Exchange a refresh token for its successor and a new access token',
  body: refreshBody,
  response: {
    200: refreshResponseSchema,
    ...problemResponses(400, 401, 403, 409, 413, 415, 503),
  },
}

/**
 * The requested audience and scope, as sent.
 * @throws invalid_scope for a malformed scope
 */
export const requestedGrant = ({
  audience,
  scope,
}: {
  readonly audience?: string | undefined
  readonly scope?: string | undefined
}): RequestedGrant => {
  const scopes = scope === undefined ? undefined : parseScope(scope)
  if (scope !== undefined && scopes === undefined) throw sessionErrors.error('invalid_scope')
  return { audience, scopes }
}

export type RefreshRouteDeps = {
  readonly refresh: RefreshSession
  /** A refresh is logged and not audited, because it is a single statement. The log names the session only by this pseudonym. */
  readonly reference: AuditPseudonym
  readonly log: Pick<Log, 'info'>
  readonly respondSealed: SealedResponse
}

export const refreshRoutes = ({
  refresh,
  reference,
  log,
  respondSealed,
}: RefreshRouteDeps): Route[] => [
  defineRoute({
    method: 'POST',
    path: '/refresh',
    access: 'public',
    worksWithoutCookies: true,
    schema: refreshSchema,
    handler: async (request, reply) => {
      const handle = presentedHandle(request)
      if (!handle) throw sessionErrors.error('missing_refresh_token')
      const requested = requestedGrant(request.body ?? {})
      const result = await refresh({ ...handle, requested, client: clientFacts(request) })
      if (result.kind === 'refused') {
        if (result.clearsCookie && handle.delivery === 'cookie') {
          setCookies(reply, [expiredRefreshCookie(), ...expiredSealedCookies(request)])
        }
        throw result.error
      }
      const session = reference(result.issued.sessionId)
      const fields = { request_id: request.id, event: 'token_refreshed', session }
      log.info(fields, 'session refreshed')
      if (result.issued.kind === 'sealed') return respondSealed(reply, result.issued)
      return tokenResponse(reply, result.issued, handle.delivery)
    },
  }),
]
