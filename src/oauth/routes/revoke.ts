import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { clientFacts } from '../../http/client-facts.ts'
import {
  type AuthenticateService,
  presentedClient,
  refusedClient,
} from '../../http/service-credentials.ts'
import type { revokeToken } from '../revoke-token.ts'
import { revokeTokenSchema } from '../schemas.ts'
import { refuseBodyCredentials } from './body-credentials.ts'

export type RevokeRouteDeps = {
  readonly revoke: ReturnType<typeof revokeToken>
  readonly authenticateService: AuthenticateService
  /** The `client_id` of native apps, which have no secret. */
  readonly publicClientId: string
}

/** RFC 7009. The hint is not needed: what a token is can be seen from it. */
export const revokeRoutes =
  ({ revoke, authenticateService, publicClientId }: RevokeRouteDeps) =>
  (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()
    app.post(
      '/oauth/revoke',
      // Public, because native apps have no secret to show: who has one of their tokens may take it back, and could do worse with it.
      {
        schema: revokeTokenSchema,
        config: { access: 'public', protocol: 'oauth', outlivesCaller: true },
      },
      async (request, reply) => {
        const { token, client_id: named } = request.body
        refuseBodyCredentials(request.body)
        const authenticated = await presentedClient(request, reply, authenticateService)
        const clientId = authenticated ?? publicClientId
        if (named !== undefined && named !== clientId) throw refusedClient(reply)
        await revoke({ token, clientId, client: clientFacts(request) })
        return {}
      },
    )
  }
