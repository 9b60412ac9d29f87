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

/** Who may call, and what else the edge must know before a handler runs: see the declarations of `FastifyContextConfig`. */
type RouteConfig = FastifyContextConfig & Required<Pick<FastifyContextConfig, 'access'>>

type RouteFacts = RouteConfig & {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** As Fastify writes it, parameters with a colon. */
  readonly path: string
  /** Bytes; the limit of the server unless given. */
  readonly bodyLimit?: number
}

/** One row of the table of routes (`src/routes.ts`). */
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

/** A route whose handler sees the types of its schema: of body, query, parameters and responses. */
export function defineRoute<const Schema extends FastifySchema>(
  route: RouteFacts & { readonly schema: Schema; readonly handler: TypedHandler<Schema> },
): Route {
  // The types of the schema are for the handler alone; Fastify checks requests against the schema itself.
  return route as unknown as Route
}

/** @throws {TypeError} for a route that does not say who may call it */
export function mountRoutes(app: FastifyInstance, routes: readonly Route[]): void {
  for (const { method, path, bodyLimit, schema, handler, ...config } of routes) {
    app.route({
      ...{ method, url: path, schema, handler, config },
      ...(bodyLimit !== undefined && { bodyLimit }),
    })
  }
}
