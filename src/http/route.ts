import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyContextConfig,
  FastifyInstance,
  FastifySchema,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
  RouteGenericInterface,
  RouteHandlerMethod,
} from 'fastify'

/** Who may call, and what the server must know before a handler runs: see the declarations of `FastifyContextConfig`. */
type RouteConfig = FastifyContextConfig & Required<Pick<FastifyContextConfig, 'access'>>

type RouteFacts = RouteConfig & {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** In Fastify's syntax, with a colon before parameters. */
  readonly path: string
  /** In bytes. Default: the limit of the server. */
  readonly bodyLimit?: number
}

/** One row of the route table (`src/routes.ts`). */
export type Route = RouteFacts & {
  readonly schema: FastifySchema
  readonly handler: RouteHandlerMethod
}

type TypedHandler<Schema extends FastifySchema> = RouteHandlerMethod<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  RouteGenericInterface,
  FastifyContextConfig,
  Schema,
  TypeBoxTypeProvider
>

/** Defines a route whose handler gets its types from the schema: body, query, parameters and responses. */
export function defineRoute<const Schema extends FastifySchema>(
  route: RouteFacts & { readonly schema: Schema; readonly handler: TypedHandler<Schema> },
): Route {
  // The types are for the handler only. Fastify checks requests against the schema itself.
  return route as unknown as Route
}

/** @throws {TypeError} for a route without `access` */
export function mountRoutes(app: FastifyInstance, routes: readonly Route[]): void {
  for (const { method, path, bodyLimit, schema, handler, ...config } of routes) {
    app.route({
      ...{ method, url: path, schema, handler, config },
      ...(bodyLimit !== undefined && { bodyLimit }),
    })
  }
}
