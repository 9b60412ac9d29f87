import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'

export type OpenApiOptions = {
  /** The address at which clients reach the service. */
  readonly issuer: string
  readonly version: string
  readonly cookieDomain?: string | undefined
}

/** The OpenAPI security scheme for each access. */
const securityOf = {
  public: undefined,
  session: [{ accessToken: [] }, { sessionCookie: [] }],
  cookie: [{ sessionCookie: [] }],
  operator: [{ accessToken: [] }],
  service: [{ serviceClient: [] }],
} as const

/**
 * Serves the API description at `GET /openapi.json`. It covers every route that is registered afterwards and is generated from the schemas
 * that check requests, so it cannot differ from the service.
 */
export const describeApi = async (app: FastifyInstance, options: OpenApiOptions): Promise<void> => {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Cardea',
        version: options.version,
        description: 'Logs users in, issues access tokens, and revokes them everywhere.',
      },
      servers: [{ url: options.issuer }],
      components: {
        securitySchemes: {
          accessToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
          serviceClient: { type: 'http', scheme: 'basic' },
          sessionCookie: {
            type: 'apiKey',
            in: 'cookie',
            name: `${options.cookieDomain === undefined ? '__Host' : '__Secure'}-cardea-session`,
          },
        },
      },
    },
    // Components are named after their `$id`. The default numbers them in order of use.
    refResolver: {
      buildLocalReference: ({ $id }, _base, _fragment, place) =>
        typeof $id === 'string' ? $id : `schema-${place}`,
    },
    transform: ({ schema, url, route }) => {
      const security = securityOf[route.config?.access ?? 'session']
      return { url, schema: security ? { ...schema, security } : schema }
    },
  })
  let text: string | undefined
  app.get(
    '/openapi.json',
    {
      config: { access: 'public', publicDocument: true, timeless: true },
      schema: { hide: true },
    },
    async (_request, reply) => {
      // Serialized once: it is large, and anyone may request it.
      text ??= JSON.stringify(app.swagger())
      return reply.type('application/json; charset=utf-8').send(text)
    },
  )
}
