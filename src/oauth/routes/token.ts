import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Reference } from '../../audit/index.ts'
import { clientFacts } from '../../http/client-facts.ts'
import { httpErrors } from '../../http/errors.ts'
import type { Log } from '../../http/log.ts'
import {
  type AuthenticateService,
  missingClient,
  presentedClient,
  presentedCredentials,
  refusedClient,
} from '../../http/service-credentials.ts'
import { oauthErrors } from '../errors.ts'
import type { grantClientCredentials } from '../grant-client-credentials.ts'
import type { grantRefreshToken } from '../grant-refresh-token.ts'
import { type OauthTokenAnswer, type TokenBody, tokenSchema } from '../schemas.ts'
import { refuseBodyCredentials } from './body-credentials.ts'

export type TokenRouteDeps = {
  readonly grantToClient: ReturnType<typeof grantClientCredentials>
  readonly grantToHolder: ReturnType<typeof grantRefreshToken>
  readonly authenticateService: AuthenticateService
  /** The `client_id` of native apps, which have no secret. */
  readonly publicClientId: string
  /** Tokens are logged and not audited: nothing but one statement stands behind each. */
  readonly reference: Reference
  readonly log: Pick<Log, 'info'>
}

type TokenRequest = FastifyRequest<{ Body: TokenBody }>

/** @throws invalid_target when two are named that differ */
const audienceOf = ({ resource, audience }: TokenBody): string | undefined => {
  if (resource !== undefined && audience !== undefined && resource !== audience) {
    throw oauthErrors.error('invalid_target')
  }
  return resource ?? audience
}

/** Of the standard's members an empty `scope` is none: the grammar has no word for it (RFC 6749 section 3.3). */
const answerOf = (
  accessToken: string,
  expiresInSeconds: number,
  scope: string,
): OauthTokenAnswer => ({
  access_token: accessToken,
  token_type: 'Bearer',
  expires_in: expiresInSeconds,
  ...(scope !== '' && { scope }),
})

const toClient = async (
  { grantToClient, log }: TokenRouteDeps,
  request: TokenRequest,
  reply: FastifyReply,
): Promise<OauthTokenAnswer> => {
  const credentials = presentedCredentials(request, reply)
  if (credentials === undefined) throw missingClient(reply)
  const { scope, client_id: named } = request.body
  if (named !== undefined && named !== credentials.clientId) throw refusedClient(reply)
  const granted = await grantToClient({ credentials, scope, audience: audienceOf(request.body) })
  if (granted === undefined) throw refusedClient(reply)
  const fields = { request_id: request.id, event: 'client_token_issued', client: granted.clientId }
  log.info(fields, 'token issued to a service client')
  return answerOf(granted.token, granted.expiresInSeconds, granted.scope)
}

/**
 * A refresh token belongs to the public client it was issued to. Under any other it is no good (R48), and is not looked at: a service
 * that could use one would be a person for as long as it likes.
 */
const toHolder = async (
  deps: TokenRouteDeps,
  request: TokenRequest,
  reply: FastifyReply,
): Promise<OauthTokenAnswer> => {
  const { scope, refresh_token: refreshToken, client_id: named } = request.body
  if (refreshToken === undefined) {
    throw httpErrors.error('invalid_request', { detail: 'body lacks the member "refresh_token".' })
  }
  const clientId = await presentedClient(request, reply, deps.authenticateService)
  if ((clientId ?? named ?? deps.publicClientId) !== deps.publicClientId) {
    throw oauthErrors.error('invalid_grant')
  }
  const issued = await deps.grantToHolder({ refreshToken, scope, client: clientFacts(request) })
  const session = deps.reference(issued.sessionId)
  deps.log.info({ request_id: request.id, event: 'token_refreshed', session }, 'session refreshed')
  return {
    ...answerOf(issued.accessToken, issued.expiresInSeconds, issued.scope),
    refresh_token: issued.refreshToken,
  }
}

/** RFC 6749: a service's own token, or a native app's next one. No cookie is read or set here. */
export const tokenRoutes =
  (deps: TokenRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()
    app.post(
      '/oauth/token',
      // Public, because native apps have no secret to show; what a grant needs is demanded with it.
      { schema: tokenSchema, config: { access: 'public', protocol: 'oauth' } },
      async (request, reply) => {
        const { grant_type: grant } = request.body
        // First: `password` among them, whose parameters are never looked at (RFC 9700 section 2.4).
        if (grant !== 'client_credentials' && grant !== 'refresh_token') {
          throw oauthErrors.error('unsupported_grant_type')
        }
        refuseBodyCredentials(request.body)
        return grant === 'client_credentials'
          ? toClient(deps, request, reply)
          : toHolder(deps, request, reply)
      },
    )
  }
