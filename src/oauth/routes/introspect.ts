import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import type { AccessTokenClaims } from '../../tokens/index.ts'
import type { introspectToken } from '../introspect-token.ts'
import { type ActiveToken, introspectSchema } from '../schemas.ts'
import { refuseBodyCredentials } from './body-credentials.ts'

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
        refuseBodyCredentials(request.body)
        const answer = await introspect(request.body.token)
        return answer.active ? describe(answer.claims) : { active: false as const }
      },
    )
  }
