import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { type Metadata, metadataSchema } from '../schemas.ts'

const cacheControl = 'public, max-age=300'

const basic = 'client_secret_basic'

/**
 * What the service says of itself (RFC 8414). Made from the settings alone: whatever a request claims in its Host header, the answer is
 * the same. No response types, because people sign in at `POST /login`, which is no OAuth grant. `none` is for native apps, which have
 * nothing but their refresh token. No scopes either: those of services are chosen by whoever makes the clients.
 */
export const metadataRoutes = ({ issuer }: { readonly issuer: string }) => {
  const answer: Metadata = {
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    response_types_supported: [],
    grant_types_supported: ['client_credentials', 'refresh_token'],
    token_endpoint: `${issuer}/oauth/token`,
    token_endpoint_auth_methods_supported: [basic, 'none'],
    revocation_endpoint: `${issuer}/oauth/revoke`,
    revocation_endpoint_auth_methods_supported: [basic, 'none'],
    introspection_endpoint: `${issuer}/oauth/introspect`,
    introspection_endpoint_auth_methods_supported: [basic],
  }
  return (instance: FastifyInstance): void => {
    const app = instance.withTypeProvider<TypeBoxTypeProvider>()
    app.get(
      '/.well-known/oauth-authorization-server',
      { schema: metadataSchema, config: { access: 'public', publicDocument: true } },
      async (_request, reply) => {
        reply.header('cache-control', cacheControl)
        return answer
      },
    )
  }
}
