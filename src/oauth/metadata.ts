import { basePathOf } from '../http/base-path.ts'
import { defineRoute, type Route } from '../http/route.ts'
import { type Metadata, metadataSchema } from './schemas.ts'

const cacheControl = 'public, max-age=300'

const wellKnown = '/.well-known/oauth-authorization-server'

/** How service clients authenticate. */
const secretMethods = ['client_secret_basic', 'client_secret_post']

/** Native apps have no credentials except their token. */
const anyMethod = [...secretMethods, 'none']

export type MetadataDeps = {
  readonly issuer: string
  /** The algorithms of the current signing keys. */
  readonly algorithms: () => readonly string[]
}

/**
 * The metadata of the service (RFC 8414). It depends on the settings and the keys only, never on the Host header of a request. There are no
 * response types, because users log in at `POST /login`, which is no OAuth grant. There are no scopes either: those of service clients are
 * chosen when a client is created.
 */
export const metadataRoutes = ({ issuer, algorithms }: MetadataDeps): Route[] => {
  const fixed: Omit<Metadata, 'id_token_signing_alg_values_supported'> = {
    issuer,
    jwks_uri: `${issuer}/.well-known/jwks.json`,
    response_types_supported: [],
    grant_types_supported: ['client_credentials', 'refresh_token'],
    token_endpoint: `${issuer}/oauth/token`,
    token_endpoint_auth_methods_supported: anyMethod,
    revocation_endpoint: `${issuer}/oauth/revoke`,
    revocation_endpoint_auth_methods_supported: anyMethod,
    introspection_endpoint: `${issuer}/oauth/introspect`,
    introspection_endpoint_auth_methods_supported: secretMethods,
  }
  const describe = (path: string, hide: boolean): Route =>
    defineRoute({
      method: 'GET',
      path,
      access: 'public',
      publicDocument: true,
      schema: { ...metadataSchema, hide },
      handler: async (_request, reply) => {
        reply.header('cache-control', cacheControl)
        // No member is registered for access tokens. Libraries that verify them read this one.
        return { ...fixed, id_token_signing_alg_values_supported: [...algorithms()] }
      },
    })
  // RFC 8414 section 3.1 appends the path of the issuer to this address. OpenID Connect puts it before, like every other route.
  const basePath = basePathOf(issuer)
  return [
    describe(wellKnown, false),
    ...(basePath === '' ? [] : [describe(`${wellKnown}${basePath}`, true)]),
  ]
}
