import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { httpErrors } from '../../http/errors.ts'
import type { AccessTokenClaims } from '../../tokens/index.ts'
import type { introspectToken } from '../introspect-token.ts'
import { type ActiveToken, introspectSchema } from '../schemas.ts'

export type IntrospectRouteDeps = { readonly introspect: ReturnType<typeof introspectToken> }

/** Named one by one, so that a claim added to tokens later does not get out by itself. */
const describe = (claims: AccessTokenClaims): ActiveToken => ({
  active: true,
  token_type: 'Bearer',
  iss: claims.iss,
  sub: claims.sub,
  aud: typeof claims.aud === 'string' ? claims.aud : [...claims.aud],
  client_id: claims.client_id,
  iat: claims.iat,
  exp: claims.exp,
  jti: claims.jti,
  sid: claims.sid,
  scope: claims.scope,
  roles: [...claims.roles],
  auth_time: claims.auth_time,
  acr: claims.acr,
  amr: [...claims.amr],
  aep: [...claims.aep],
})

/** RFC 7662: a service client asks whether a token is good at this moment. */
export const introspectRoutes =
  ({ introspect }: IntrospectRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()
    app.post(
      '/oauth/introspect',
      { schema: introspectSchema, config: { access: 'service', protocol: 'oauth' } },
      async (request) => {
        const { token, client_secret: secret, client_assertion: assertion } = request.body
        // RFC 6749 section 2.3: one way of authenticating a request. The header has been checked; a second one could say something else.
        if (secret !== undefined || assertion !== undefined) {
          throw httpErrors.error('invalid_request', {
            detail: 'The client authenticates with the Authorization header only.',
          })
        }
        const answer = await introspect(token)
        return answer.active ? describe(answer.claims) : { active: false as const }
      },
    )
  }
