import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import {
  feedBinaryMediaType,
  type RevocationKind,
  revocationKinds,
} from '../../packages/verifier/src/wire.ts'
import { acceptsByName } from '../http/accept.ts'
import { problemResponses } from '../http/errors.ts'
import { defineRoute, type Route } from '../http/route.ts'
import type { RevocationFeed, SharedPage } from './revocation-feed.ts'

const kinds = revocationKinds.map((kind: RevocationKind) => Type.Literal(kind))

const entry = Type.Object({
  kind: Type.Union(kinds),
  key: Type.String({ description: 'The revoked id; empty for `everyone`' }),
  min_epoch: Type.Optional(
    Type.Integer({
      description: 'For `sub`, `claims`, `everyone`: tokens with a lower epoch are revoked',
    }),
  ),
  not_after: Type.Integer({ description: 'Seconds since the Unix epoch; then it may be dropped' }),
})

const page = Type.Object({
  feed_id: Type.String({
    description: 'Identifies the log; a page of another log does not continue it',
  }),
  cursor: Type.String({ description: 'Opaque; send it with the next request' }),
  entries: Type.Array(entry),
})

const pageResponse = {
  description: 'In the form that `Accept` names; JSON unless it names the binary one',
  content: {
    'application/json': { schema: page },
    [feedBinaryMediaType]: { schema: Type.String({ format: 'binary' }) },
  },
}

const snapshotSchema = {
  summary: 'Everything that is revoked and has not ended',
  response: { 200: pageResponse, ...problemResponses(401, 503) },
}

/** The maximum time a request may wait for something new, in seconds. */
const longestWaitSeconds = 3

const changesSchema = {
  summary: 'What was revoked since a cursor',
  querystring: Type.Object(
    {
      cursor: Type.String({
        maxLength: 255,
        description: 'From the last response, or from a snapshot',
      }),
      wait: Type.Optional(
        Type.String({
          pattern: `^[0-${longestWaitSeconds}]$`,
          description: 'Whole seconds to wait for a first entry; default 0',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  response: { 200: pageResponse, ...problemResponses(400, 401, 410, 503) },
}

const access = 'service'

/** The binary form must be named. A client that accepts anything gets JSON. */
const wantsBinary = ({ headers }: FastifyRequest): boolean =>
  acceptsByName(headers.accept, feedBinaryMediaType)

const send = async (request: FastifyRequest, reply: FastifyReply, page: SharedPage) => {
  const isBinary = wantsBinary(request)
  const body = await (isBinary ? page.binary() : page.json())
  // Replaces the `Vary: Origin` that every response has.
  reply.header('vary', 'Origin, Accept')
  return reply.type(isBinary ? feedBinaryMediaType : 'application/json; charset=utf-8').send(body)
}

export type RevocationRouteDeps = { readonly feed: RevocationFeed }

/** Entries contain ids and epochs only. Who revoked and why stays in the database. */
export const revocationRoutes = ({ feed }: RevocationRouteDeps): Route[] => [
  defineRoute({
    method: 'GET',
    path: '/revocations/snapshot',
    access,
    schema: snapshotSchema,
    handler: async (request, reply) => send(request, reply, await feed.snapshot()),
  }),
  defineRoute({
    method: 'GET',
    path: '/revocations',
    access,
    schema: changesSchema,
    handler: async (request, reply) => {
      const { cursor, wait = '0' } = request.query
      // After the client has disconnected, the log is not read again.
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      return send(request, reply, await feed.changes(cursor, Number(wait), gone.signal))
    },
  }),
]
